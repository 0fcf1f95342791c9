//! The form of the table of rejections, and what makes it from its rows in `kinds.rs`.

use http::StatusCode;

/// The fixed properties of one kind of rejection. All public accessors read it.
#[derive(Debug)]
pub(crate) struct Spec {
    /// The name of the variant, which is also the anchor of its documentation.
    pub(crate) variant: &'static str,
    pub(crate) code: &'static str,
    pub(crate) title: &'static str,
    /// The default, and then those that [`OnMismatch`](super::OnMismatch) chooses from.
    pub(crate) statuses: &'static [StatusCode],
    /// The number of the gRPC code.
    #[cfg_attr(not(feature = "grpc"), expect(dead_code, reason = "only gRPC reads it"))]
    pub(crate) grpc: u8,
    pub(crate) advice: Advice,
    /// Whether the operation had begun, so that it may have had an effect.
    pub(crate) had_begun: bool,
    /// Which layers give it.
    #[cfg_attr(not(feature = "openapi"), expect(dead_code, reason = "only OpenAPI reads it"))]
    pub(crate) occasion: Occasion,
    /// The detail of the problem document. `{}` is where [`Rejection`](super::Rejection) puts a
    /// value.
    pub(crate) detail: &'static str,
    #[cfg(test)]
    pub(crate) told: Told,
}

/// What the table says for readers outside of the crate.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Told {
    /// The statuses as the documentation has them.
    pub(crate) numbers: &'static [u16],
    /// The name of the gRPC code.
    pub(crate) grpc: &'static str,
    /// The disposition that a client reaches.
    pub(crate) client: &'static str,
    pub(crate) when: &'static str,
    pub(crate) then: &'static str,
}

/// What the headers of a rejection say about a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Nothing: the status says enough.
    Silent,
    /// `Retry-After`: the same request may succeed later.
    RetryAfter,
    /// `X-Should-Retry: true`: a retry is safe although the status does not say so.
    ShouldRetry,
    /// `X-Should-Retry: false`: no retry can change the response while the record exists.
    NoRetry,
}

/// Which layers give a rejection. The settings decide: see `openapi/rejections.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// Every layer.
    Always,
    /// A layer with `require_key`.
    KeyIsRequired,
    /// A layer with a `scope` function.
    ScopeIsSet,
    /// A layer that does not run an abandoned operation again.
    AbandonedIsRejected,
    /// A layer that does not run a failed operation again.
    FailedIsNotRerun,
    /// A layer with `max_in_flight`.
    InFlightIsLimited,
    /// A layer with a quota, or with a store that limits the share of a scope.
    ScopeIsLimited,
    /// A layer with a store in transaction mode.
    IsTransactional,
}

/// The numbers of the gRPC codes. `grpc::Code` cannot be named here, because `grpc` names this
/// module.
pub(crate) mod grpc {
    pub(crate) const INVALID_ARGUMENT: u8 = 3;
    pub(crate) const ALREADY_EXISTS: u8 = 6;
    pub(crate) const RESOURCE_EXHAUSTED: u8 = 8;
    pub(crate) const FAILED_PRECONDITION: u8 = 9;
    pub(crate) const ABORTED: u8 = 10;
    pub(crate) const INTERNAL: u8 = 13;
    pub(crate) const UNAVAILABLE: u8 = 14;
    pub(crate) const UNAUTHENTICATED: u8 = 16;
}

/// The cell of the documentation that says which header is sent.
macro_rules! header_of {
    (Silent) => {
        ""
    };
    (RetryAfter) => {
        "`Retry-After`"
    };
    (ShouldRetry) => {
        "`X-Should-Retry: true`"
    };
    (NoRetry) => {
        "`X-Should-Retry: false`"
    };
}

/// Makes the table, its documentation, and the lookup. A kind without a row does not compile.
macro_rules! table {
    ($($variant:ident {
        code: $code:literal,
        title: $title:literal,
        status: $number:literal $status:ident $(or $other_number:literal $other:ident)*,
        grpc: $grpc:ident,
        advice: $advice:ident,
        had_begun: $had_begun:literal,
        occasion: $occasion:ident,
        client: $client:ident,
        when: $when:literal,
        then: $then:literal,
        detail: $detail:literal,
        sample: $sample:expr,
    })*) => {
        /// The places of the rows.
        enum Row {
            $($variant),*
        }

        /// Every row.
        pub(super) static ALL: &[super::spec::Spec] = &[$(super::spec::Spec {
            variant: stringify!($variant),
            code: $code,
            title: $title,
            statuses: &[StatusCode::$status $(, StatusCode::$other)*],
            grpc: super::spec::grpc::$grpc,
            advice: super::spec::Advice::$advice,
            had_begun: $had_begun,
            occasion: super::spec::Occasion::$occasion,
            detail: $detail,
            #[cfg(test)]
            told: super::spec::Told {
                numbers: &[$number $(, $other_number)*],
                grpc: stringify!($grpc),
                client: stringify!($client),
                when: $when,
                then: $then,
            },
        }),*];

        impl Rejection {
            /// The fixed properties of this kind.
            pub(crate) fn spec(&self) -> &'static super::spec::Spec {
                let row = match self {
                    $(Self::$variant { .. } => Row::$variant),*
                };
                &ALL[row as usize]
            }

            /// The `code` member of the problem document: stable, for programs to act on.
            ///
            /// The disposition is what the clients of this crate conclude
            /// ([`client`](crate::guide::clients)), whatever happened under the key before.
            ///
            /// | code | status | gRPC | header | disposition | when | what the client does |
            /// |---|---|---|---|---|---|---|
            $(#[doc = concat!(
                "| [`", $code, "`](Self::", stringify!($variant), ") | ", $number,
                $(", ", $other_number,)* " | `", stringify!($grpc), "` | ", header_of!($advice),
                " | ", stringify!($client), " | ", $when, " | ", $then, " |",
            )])*
            pub fn code(&self) -> &'static str {
                self.spec().code
            }
        }

        /// One rejection of each kind, in the order of the table.
        #[cfg(any(test, feature = "openapi"))]
        pub(crate) fn samples() -> Vec<Rejection> {
            vec![$($sample),*]
        }
    };
}

pub(super) use {header_of, table};
