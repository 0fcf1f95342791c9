//! The table of rejections: one entry a kind, with everything that is fixed about it.

use http::StatusCode;

use super::Rejection;

/// What is fixed about one kind of rejection. All public accessors read it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spec {
    /// The name of the variant, which is also the anchor of its documentation.
    pub(crate) variant: &'static str,
    pub(crate) code: &'static str,
    pub(crate) title: &'static str,
    pub(crate) status: StatusCode,
    /// The number of the gRPC code. This module cannot name `grpc::Code`, because `grpc` names this module.
    #[cfg_attr(not(feature = "grpc"), expect(dead_code, reason = "only gRPC reads it"))]
    pub(crate) grpc: u8,
    /// `Some(false)` if no retry can change the response while the record exists, `Some(true)` if a retry
    /// is safe although the status does not say so.
    pub(crate) should_retry: Option<bool>,
    /// Whether the operation had begun, so that it may have had an effect.
    pub(crate) had_begun: bool,
}

const INVALID_ARGUMENT: u8 = 3;
const ALREADY_EXISTS: u8 = 6;
const RESOURCE_EXHAUSTED: u8 = 8;
const FAILED_PRECONDITION: u8 = 9;
const ABORTED: u8 = 10;
const INTERNAL: u8 = 13;
const UNAVAILABLE: u8 = 14;

const KEY_MISSING: Spec = Spec {
    variant: "KeyMissing",
    code: "idempotency_key_missing",
    title: "Idempotency key missing",
    status: StatusCode::BAD_REQUEST,
    grpc: INVALID_ARGUMENT,
    should_retry: None,
    had_begun: false,
};

const KEY_INVALID: Spec = Spec {
    variant: "KeyInvalid",
    code: "idempotency_key_invalid",
    title: "Idempotency key invalid",
    status: StatusCode::BAD_REQUEST,
    grpc: INVALID_ARGUMENT,
    should_retry: None,
    had_begun: false,
};

const REQUEST_UNREADABLE: Spec = Spec {
    variant: "RequestUnreadable",
    code: "request_unreadable",
    title: "Request body unreadable",
    status: StatusCode::BAD_REQUEST,
    grpc: INVALID_ARGUMENT,
    should_retry: None,
    had_begun: false,
};

const REQUEST_TOO_LARGE: Spec = Spec {
    variant: "RequestTooLarge",
    code: "request_too_large",
    title: "Request body too large",
    status: StatusCode::PAYLOAD_TOO_LARGE,
    grpc: RESOURCE_EXHAUSTED,
    should_retry: None,
    had_begun: false,
};

/// A client does not retry a 408 of an operation that may have begun. This one never began.
const REQUEST_TIMEOUT: Spec = Spec {
    variant: "RequestTimeout",
    code: "request_timeout",
    title: "Request body too slow",
    status: StatusCode::REQUEST_TIMEOUT,
    grpc: UNAVAILABLE,
    should_retry: Some(true),
    had_begun: false,
};

/// Its status is the layer's choice: see [`OnMismatch`](super::OnMismatch).
const KEY_REUSED: Spec = Spec {
    variant: "KeyReused",
    code: "idempotency_key_reused",
    title: "Idempotency key used for another request",
    status: StatusCode::CONFLICT,
    grpc: ALREADY_EXISTS,
    should_retry: Some(false),
    had_begun: false,
};

const IN_FLIGHT: Spec = Spec {
    variant: "InFlight",
    code: "idempotency_key_in_flight",
    title: "Request in flight",
    status: StatusCode::CONFLICT,
    grpc: ABORTED,
    should_retry: None,
    had_begun: false,
};

const RESULT_NOT_RETAINED: Spec = Spec {
    variant: "ResultNotRetained",
    code: "idempotency_result_not_retained",
    title: "Result not retained",
    status: StatusCode::CONFLICT,
    grpc: ALREADY_EXISTS,
    should_retry: Some(false),
    had_begun: false,
};

const OUTCOME_UNKNOWN: Spec = Spec {
    variant: "OutcomeUnknown",
    code: "idempotency_outcome_unknown",
    title: "Outcome of an earlier attempt unknown",
    status: StatusCode::CONFLICT,
    grpc: FAILED_PRECONDITION,
    should_retry: Some(false),
    had_begun: false,
};

const ATTEMPT_FAILED: Spec = Spec {
    variant: "AttemptFailed",
    code: "idempotency_attempt_failed",
    title: "An earlier attempt failed",
    status: StatusCode::CONFLICT,
    grpc: FAILED_PRECONDITION,
    should_retry: Some(false),
    had_begun: false,
};

const TOO_MANY_IN_FLIGHT: Spec = Spec {
    variant: "TooManyInFlight",
    code: "idempotency_too_many_in_flight",
    title: "Too many operations in flight",
    status: StatusCode::SERVICE_UNAVAILABLE,
    grpc: UNAVAILABLE,
    should_retry: None,
    had_begun: false,
};

const QUOTA_EXCEEDED: Spec = Spec {
    variant: "QuotaExceeded",
    code: "idempotency_quota_exceeded",
    title: "Quota exceeded",
    status: StatusCode::TOO_MANY_REQUESTS,
    grpc: RESOURCE_EXHAUSTED,
    should_retry: None,
    had_begun: false,
};

const SHUTTING_DOWN: Spec = Spec {
    variant: "ShuttingDown",
    code: "idempotency_shutting_down",
    title: "Service shutting down",
    status: StatusCode::SERVICE_UNAVAILABLE,
    grpc: UNAVAILABLE,
    should_retry: None,
    had_begun: false,
};

const STORE_UNAVAILABLE: Spec = Spec {
    variant: "StoreUnavailable",
    code: "idempotency_store_unavailable",
    title: "Idempotency store unavailable",
    status: StatusCode::SERVICE_UNAVAILABLE,
    grpc: UNAVAILABLE,
    should_retry: None,
    had_begun: false,
};

const COMMIT_UNCONFIRMED: Spec = Spec {
    variant: "CommitUnconfirmed",
    code: "idempotency_commit_unconfirmed",
    title: "Commit unconfirmed",
    status: StatusCode::SERVICE_UNAVAILABLE,
    grpc: UNAVAILABLE,
    should_retry: None,
    had_begun: true,
};

const TRANSACTION_LOST: Spec = Spec {
    variant: "TransactionLost",
    code: "idempotency_transaction_lost",
    title: "Transaction lost",
    status: StatusCode::INTERNAL_SERVER_ERROR,
    grpc: INTERNAL,
    should_retry: None,
    had_begun: true,
};

/// All of them, for those who meet one by its code.
impl Spec {
    /// Whether a response with this code has this status, under whatever [`OnMismatch`](super::OnMismatch).
    pub(super) fn has(&self, status: StatusCode) -> bool {
        status == self.status || self.code == KEY_REUSED.code && matches!(status.as_u16(), 400 | 422)
    }
}

pub(super) const ALL: [Spec; 16] = [
    KEY_MISSING,
    KEY_INVALID,
    REQUEST_UNREADABLE,
    REQUEST_TOO_LARGE,
    REQUEST_TIMEOUT,
    KEY_REUSED,
    IN_FLIGHT,
    RESULT_NOT_RETAINED,
    OUTCOME_UNKNOWN,
    ATTEMPT_FAILED,
    TOO_MANY_IN_FLIGHT,
    QUOTA_EXCEEDED,
    SHUTTING_DOWN,
    STORE_UNAVAILABLE,
    COMMIT_UNCONFIRMED,
    TRANSACTION_LOST,
];

impl Rejection {
    /// What is fixed about this kind.
    pub(crate) fn spec(&self) -> Spec {
        match self {
            Self::KeyMissing => KEY_MISSING,
            Self::KeyInvalid(_) => KEY_INVALID,
            Self::RequestUnreadable => REQUEST_UNREADABLE,
            Self::RequestTooLarge { .. } => REQUEST_TOO_LARGE,
            Self::RequestTimeout => REQUEST_TIMEOUT,
            Self::KeyReused { status } => Spec { status: status.status(), ..KEY_REUSED },
            Self::InFlight { .. } => IN_FLIGHT,
            Self::ResultNotRetained { .. } => RESULT_NOT_RETAINED,
            Self::OutcomeUnknown => OUTCOME_UNKNOWN,
            Self::AttemptFailed { .. } => ATTEMPT_FAILED,
            Self::TooManyInFlight { .. } => TOO_MANY_IN_FLIGHT,
            Self::QuotaExceeded { .. } => QUOTA_EXCEEDED,
            Self::ShuttingDown { .. } => SHUTTING_DOWN,
            Self::StoreUnavailable { .. } => STORE_UNAVAILABLE,
            Self::CommitUnconfirmed { .. } => COMMIT_UNCONFIRMED,
            Self::TransactionLost => TRANSACTION_LOST,
        }
    }
}
