//! The policies: what a request gets in a situation where there is a choice.

use std::time::Duration;

use http::StatusCode;

/// What a request gets whose key is in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum InFlight {
    /// 409 with `Retry-After`, at once.
    #[default]
    Reject,
    /// The answer of the request that is in flight, if it comes within this bound; else the 409.
    Wait(Duration),
}

/// What a request gets whose key stands for a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnFailed {
    /// The operation runs again. The handler can see that it does.
    #[default]
    Rerun,
    /// The failed answer is replayed. An attempt that left none, a panic for one, is refused with 409.
    Replay,
    /// 409, until the record expires.
    Refuse,
}

/// What a request gets whose key stands for an attempt that was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnAbandoned {
    /// The operation runs again. The handler can see that it does, and ask how far the last attempt got.
    #[default]
    Rerun,
    /// 409, until the record expires.
    Refuse,
}

/// What a request gets that comes while the store is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnOutage {
    /// 503 with `Retry-After`. Nothing runs while nobody can say what ran before.
    #[default]
    Closed,
    /// The operation runs without a record, and its answer is marked `X-Idempotent-Result: unguarded`.
    ///
    /// Every repeat runs it again, and so does a repeat after the outage: for a payment, that is another charge. Choose
    /// it only where a second effect does less harm than none. It holds for a store that cannot be reached or does not
    /// answer in time; one that is full, or holds a damaged record, still refuses, and so does the layer for a request that is
    /// known to be in flight. The handler can tell by [`Attempt::is_guarded`](crate::Attempt::is_guarded).
    OpenRiskingDoubleEffects,
}

/// What a quota answers that is used up: see [`IdempotencyLayer::quota`](crate::IdempotencyLayer::quota).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaExceeded {
    /// What `Retry-After` says, in whole seconds.
    pub retry_after: Duration,
}

/// What an answer means for the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Class {
    /// Definitive: it is kept and replayed.
    Success,
    /// The attempt ended without a definitive answer.
    Failed,
    /// Nothing happened: no record is left, and the client may mend its request under the same key.
    Forget,
}

impl Class {
    /// The default: 2xx, 3xx and 4xx are definitive, 5xx is a failure, and those 4xx that say "not like this, not now"
    /// are forgotten: 400, 401, 403, 405, 407, 408, 411, 413, 414, 415, 422, 425, 429 and 431. So is 1xx, which is no
    /// answer yet.
    pub fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            ..200 | 400 | 401 | 403 | 405 | 407 | 408 | 411 | 413..=415 | 422 | 425 | 429 | 431 => {
                Self::Forget
            }
            200..500 => Self::Success,
            _ => Self::Failed,
        }
    }

    /// The rule of [`IdempotencyLayer::ietf`](crate::IdempotencyLayer): every answer from 200 to 499 is definitive, 5xx is a
    /// failure.
    pub fn by_ietf(status: StatusCode) -> Self {
        match status.as_u16() {
            ..200 => Self::Forget,
            200..500 => Self::Success,
            _ => Self::Failed,
        }
    }

    /// The rule of [`IdempotencyLayer::stripe`](crate::IdempotencyLayer): as [`by_ietf`](Self::by_ietf), but 400, 401 and 429
    /// are forgotten.
    pub fn by_stripe(status: StatusCode) -> Self {
        match status.as_u16() {
            400 | 401 | 429 => Self::Forget,
            _ => Self::by_ietf(status),
        }
    }
}
