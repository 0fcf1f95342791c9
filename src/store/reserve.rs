//! What a caller asks a store for, which records that takes over, and the result.

use std::sync::Arc;
use std::time::Duration;

use super::{Lease, Record, State, Token};
use crate::record::fingerprint::Fingerprint;
use crate::record::key::{ScopeDigest, StorageKey};
use crate::record::label::RecordLabel;

/// The defaults of the layer.
const LEASE: Duration = Duration::from_secs(10);
const RETENTION: Duration = Duration::from_hours(24);

/// What a caller of [`Store::reserve`](super::Store::reserve) asks for.
///
/// ```
/// use std::time::Duration;
/// use tower_idempotency::store::{RetryFailed, ReserveRequest};
/// use tower_idempotency::{Fingerprint, IdempotencyKey, Scope};
/// use tower_idempotency::store::StorageKey;
///
/// let key = IdempotencyKey::parse(b"order-1001").unwrap();
/// let key = StorageKey::derive(None, "payments", &Scope::new("acct_2"), &key);
/// let request = ReserveRequest::new(key, Fingerprint::of_fields(["pay", "1200"]))
///     .lease(Duration::from_secs(30))
///     .retry_failed(RetryFailed::Never);
/// assert!(request.retry_abandoned);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReserveRequest {
    /// The name of the record.
    pub key: StorageKey,
    /// The scope of the key. A store may limit what one scope takes.
    pub scope: ScopeDigest,
    /// The request that the key is bound to.
    pub fingerprint: Fingerprint,
    /// How long the attempt counts as alive without a renewal.
    pub lease: Duration,
    /// How long the pending record stays. It must be longer than the lease, so that an abandoned
    /// attempt is noticed.
    pub retention: Duration,
    /// Which `failed` records of the same fingerprint are taken over.
    pub retry_failed: RetryFailed,
    /// Whether an abandoned record of the same fingerprint is taken over.
    pub retry_abandoned: bool,
    /// What the record says of its operation for operators: the label, the scope and its times.
    /// `None`: nothing.
    pub label: Option<Arc<RecordLabel>>,
}

impl ReserveRequest {
    /// Asks for a key. The other settings have the defaults of a layer.
    pub fn new(key: StorageKey, fingerprint: Fingerprint) -> Self {
        Self {
            key,
            scope: ScopeDigest::UNSET,
            fingerprint,
            lease: LEASE,
            retention: RETENTION,
            retry_failed: RetryFailed::Any,
            retry_abandoned: true,
            label: None,
        }
    }

    /// Sets the [scope](Self::scope). Default: [`ScopeDigest::UNSET`].
    #[must_use]
    pub fn scope(self, scope: ScopeDigest) -> Self {
        Self { scope, ..self }
    }

    /// Sets the [lease](Self::lease). Default: 10 s.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// Sets the [retention](Self::retention). Default: 24 h.
    #[must_use]
    pub fn retention(self, retention: Duration) -> Self {
        Self { retention, ..self }
    }

    /// Sets which [failed records](Self::retry_failed) are taken over. Default: any.
    #[must_use]
    pub fn retry_failed(self, retry_failed: RetryFailed) -> Self {
        Self { retry_failed, ..self }
    }

    /// Sets whether an [abandoned record](Self::retry_abandoned) is taken over. Default: `true`.
    #[must_use]
    pub fn retry_abandoned(self, retry_abandoned: bool) -> Self {
        Self { retry_abandoned, ..self }
    }

    /// Sets the [label](Self::label). Default: none.
    #[must_use]
    pub fn label(self, label: impl Into<Option<Arc<RecordLabel>>>) -> Self {
        Self { label: label.into(), ..self }
    }
}

/// Which failed records a reservation takes over. A store asks
/// [`Record::yields_to`](super::Record::yields_to), and need not match on this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryFailed {
    /// None.
    Never,
    /// That of one attempt, for which the caller has waited.
    Only(Token),
    /// Any.
    Any,
}

impl Record {
    /// Whether `request` may take this record over. The fingerprint comes first: the record of
    /// another operation is never taken over.
    pub fn yields_to(&self, request: &ReserveRequest) -> bool {
        // Without `..`, so that a new condition is decided on here.
        let ReserveRequest {
            fingerprint,
            retry_failed,
            retry_abandoned,
            key: _,
            scope: _,
            lease: _,
            retention: _,
            label: _,
        } = request;
        self.fingerprint == *fingerprint
            && match self.state {
                State::Pending { abandoned } => abandoned && *retry_abandoned,
                State::Failed(_) => match *retry_failed {
                    RetryFailed::Never => false,
                    RetryFailed::Only(token) => token == self.token,
                    RetryFailed::Any => true,
                },
                State::Success(_) => false,
            }
    }
}

/// The result of [`Store::reserve`](super::Store::reserve).
///
/// It is exhaustive on purpose: a caller that ignores a result may run an operation twice.
#[derive(Debug, Clone)]
pub enum Reservation {
    /// The key is the caller's: run the operation and settle the lease.
    Acquired(Lease),
    /// The record of another attempt was found.
    Found(Record),
}

/// A pending record that a request waits for.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct PendingRef {
    /// The name of the record.
    pub key: StorageKey,
    /// Its token.
    pub token: Token,
}

impl PendingRef {
    /// The pending record of this key that has this token.
    pub fn new(key: StorageKey, token: Token) -> Self {
        Self { key, token }
    }
}
