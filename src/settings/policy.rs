//! The policies: the response in each situation where there is a choice.

use std::time::Duration;

use crate::http::rejection::OnMismatch;
use crate::store::{ReserveRequest, RetryFailed};

/// Every policy of a layer. The setters are in `layer/policies.rs`.
#[derive(Debug, Clone)]
pub(crate) struct Policies {
    pub(crate) in_flight: InFlight,
    pub(crate) on_failed: OnFailed,
    pub(crate) on_abandoned: OnAbandoned,
    pub(crate) on_outage: OnOutage,
    pub(crate) on_mismatch: OnMismatch,
    pub(crate) retry_conflicts: u32,
    pub(crate) retry_after: Duration,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            in_flight: InFlight::Reject,
            on_failed: OnFailed::Rerun,
            on_abandoned: OnAbandoned::Rerun,
            on_outage: OnOutage::FailClosed,
            on_mismatch: OnMismatch::Conflict,
            retry_conflicts: 0,
            retry_after: Duration::from_secs(1),
        }
    }
}

impl Policies {
    /// Tells the store which records the reservation takes over. [`Record::yields_to`] decides by
    /// it in every store, and `flow::decide` says what a request gets whose record is not taken
    /// over.
    ///
    /// [`Record::yields_to`]: crate::store::Record::yields_to
    pub(crate) fn apply_to(&self, reserve: &mut ReserveRequest) {
        reserve.retry_failed =
            if self.on_failed == OnFailed::Rerun { RetryFailed::Any } else { RetryFailed::Never };
        reserve.retry_abandoned = self.on_abandoned == OnAbandoned::Rerun;
    }
}

/// The response when the key is in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum InFlight {
    /// 409 with `Retry-After`, at once.
    #[default]
    Reject,
    /// The response of the request that is in flight, if it comes within this bound; else the 409.
    ///
    /// Two limits count for the requests that wait. By default 1,000 may wait
    /// ([`max_waiting`](crate::IdempotencyLayer::max_waiting)), or fewer if their bodies take more
    /// than 64 MiB ([`max_held_bytes`](crate::IdempotencyLayer::max_held_bytes)). The others get
    /// the 409 at once.
    ///
    /// A wait of zero is the 409 at once.
    ///
    /// A `TimeoutLayer` inside of the layer does not bound the wait, because the waiting request
    /// does not reach it.
    Wait(Duration),
}

/// The response to a retry of an attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum OnFailed {
    /// The operation runs again. The handler sees it by
    /// [`Attempt::is_in_doubt`](crate::Attempt::is_in_doubt), and asks the provider what was done.
    #[default]
    Rerun,
    /// The failed response is replayed. An attempt without one, such as a panic, is rejected with
    /// 409.
    Replay,
    /// 409, until the record expires.
    Reject,
}

/// The response to a retry of an attempt that was cut off: its process died, or its response
/// [says so](crate::ResponseDirective::abandoned).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum OnAbandoned {
    /// The operation runs again. The handler sees it by
    /// [`Attempt::is_in_doubt`](crate::Attempt::is_in_doubt), and asks the provider what was done.
    #[default]
    Rerun,
    /// 409, until the record expires.
    Reject,
}

/// The response to a request while the store is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum OnOutage {
    /// 503 with `Retry-After`. Nothing runs while it is not known what ran before.
    #[default]
    FailClosed,
    /// The operation runs without a record, and its response has `X-Idempotent-Result: unguarded`.
    ///
    /// Every retry runs it again, and so does a retry after the outage: for a payment, that is
    /// another charge. Choose it only where a second effect does less harm than none. The handler
    /// can tell by [`Attempt::is_guarded`](crate::Attempt::is_guarded).
    ///
    /// It opens for a store that cannot be reached, or does not reply in time. It does not open for
    /// a store that rejects the request: one that is full, not set up, or has a damaged record. It
    /// does not open either for a key that is known to have a record.
    ///
    /// It never opens for SQLite or in transaction mode, because one slow request can make these
    /// stores slower than their timeout. Clients who make another store that slow open the layer:
    /// limit their rate, and give the store a pool of its own.
    FailOpenRiskingDoubleEffects,
}

/// The error of a quota that is used up: see
/// [`IdempotencyLayer::quota`](crate::IdempotencyLayer::quota).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuotaExceeded {
    /// What `Retry-After` says, in whole seconds.
    pub retry_after: Duration,
    pub(crate) may_look: bool,
}

impl QuotaExceeded {
    /// The store is asked once whether the request has its response already, and only a new key is
    /// rejected.
    pub fn new(retry_after: Duration) -> Self {
        Self { retry_after, may_look: true }
    }

    /// Rejects the request without a look into the store, also if it is a retry that could be
    /// replayed. Use it for a scope that sends far more than its quota, because each look is a
    /// query.
    #[must_use]
    pub fn without_look(self) -> Self {
        Self { may_look: false, ..self }
    }
}
