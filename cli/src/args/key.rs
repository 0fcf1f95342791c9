//! How a record, a scope and a list are named on the command line.

use std::time::Duration;

use clap::Args;
use tower_idempotency::store::ScopeDigest;
use tower_idempotency::store::operator::{ListFilter, ListOrder, StateFilter};
use tower_idempotency::{IdempotencyKey, Scope};

use super::values::{digits, duration, hex, key, scope_digest};
use crate::failure::Failure;

/// A record is named by its digits, or by the key of a client and its scope.
#[derive(Args)]
#[command(group = clap::ArgGroup::new("record").args(["digits", "key"]))]
pub(crate) struct KeyArgs {
    /// The first digits of the record, as logs and `list` show them: 8 to 64.
    #[arg(value_name = "KEY", value_parser = digits, conflicts_with = "scope_of")]
    digits: Option<String>,
    /// The key of a client, as the header has it. Also give its scope.
    #[arg(long, value_name = "KEY", value_parser = key)]
    key: Option<IdempotencyKey>,
    /// The namespace of the service.
    #[arg(long, value_name = "NAME", requires = "key")]
    pub(crate) namespace: Option<String>,
    #[command(flatten)]
    scope: ScopeArgs,
}

/// The record that the arguments name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Digits(String),
    Key(Box<(Scope, IdempotencyKey)>),
}

impl KeyArgs {
    /// The record.
    pub(crate) fn target(&self) -> Result<Target, Failure> {
        match (&self.digits, &self.key, self.scope.scope()) {
            (Some(digits), ..) => Ok(Target::Digits(digits.clone())),
            (None, Some(key), Some(scope)) => Ok(Target::Key(Box::new((scope, key.clone())))),
            (None, Some(_), None) => Err(Failure::usage(
                "--key needs the scope of the key: --scope, --scope-hex, or --anonymous if the \
                 service has no scopes",
            )),
            (None, None, _) => Err(Failure::usage(
                "name the record: by the digits that logs show, or by --key and --scope",
            )),
        }
    }

    /// The scope, if no record is named.
    pub(crate) fn whole_scope(&self) -> Option<Scope> {
        if self.digits.is_some() || self.key.is_some() { None } else { self.scope.scope() }
    }
}

/// The caller that a key belongs to.
#[derive(Args)]
#[command(group = clap::ArgGroup::new("scope_of").args(["scope", "scope_hex", "anonymous"]))]
pub(crate) struct ScopeArgs {
    /// The scope of the caller, as text.
    #[arg(long, value_name = "TEXT")]
    scope: Option<String>,
    /// The scope of the caller, as hexadecimal digits of its bytes.
    #[arg(long, value_name = "HEX", value_parser = hex)]
    scope_hex: Option<Bytes>,
    /// The scope of callers without an identity, and of a service without scopes.
    #[arg(long)]
    anonymous: bool,
    /// The host that the client names. Only a service with `host_in_scope` needs it.
    #[arg(long, value_name = "HOST", requires = "scope_of")]
    host: Option<String>,
}

/// Clap would take a `Vec<u8>` for a list of arguments.
pub(super) type Bytes = bytes::Bytes;

impl ScopeArgs {
    fn scope(&self) -> Option<Scope> {
        let scope = match (&self.scope, &self.scope_hex) {
            (Some(text), _) => Scope::new(text),
            (None, Some(bytes)) => Scope::new(bytes),
            (None, None) if self.anonymous => Scope::anonymous(),
            (None, None) => return None,
        };
        Some(match &self.host {
            Some(host) => scope.on_host(host),
            None => scope,
        })
    }
}

/// Which records a list has.
#[derive(Args)]
pub(crate) struct ListArgs {
    /// The state: in-flight, abandoned, failed, in-doubt, not-retained, success, or stuck. Stuck
    /// records wait for an operator: abandoned, failed or not-retained.
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<StateFilter>,
    /// Only records that have not changed for this long: 90s, 5m, 2h, 3d.
    #[arg(long, value_name = "AGE", value_parser = duration)]
    older_than: Option<Duration>,
    /// Only records of this route: `POST /payments/{id}/refunds`.
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,
    /// Only records of this namespace.
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    #[command(flatten)]
    scope: ScopeArgs,
    /// Only records of the scope with these 32 hexadecimal digits. 32 times `f` is a service
    /// without scopes.
    #[arg(long, value_name = "HEX", conflicts_with = "scope_of", value_parser = scope_digest)]
    scope_digest: Option<ScopeDigest>,
    /// The most records.
    #[arg(long, value_name = "NUMBER", default_value = "100",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Lists the newest records first.
    #[arg(long)]
    newest: bool,
}

impl ListArgs {
    /// The condition. `digest` digests a scope as the service does.
    pub(crate) fn filter(&self, digest: impl Fn(&Scope) -> ScopeDigest) -> ListFilter {
        let scope = self.scope_digest.or_else(|| self.scope.scope().as_ref().map(digest));
        ListFilter::new()
            .state(self.state)
            .older_than(self.older_than)
            .route(self.route.clone())
            .namespace(self.namespace.clone())
            .scope(scope)
    }

    pub(crate) fn has_scope(&self) -> bool {
        self.scope_digest.is_some() || self.scope.scope().is_some()
    }

    pub(crate) fn order(&self) -> ListOrder {
        if self.newest { ListOrder::NewestFirst } else { ListOrder::OldestFirst }
    }
}
