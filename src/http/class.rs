//! The class of a response: what it means for its key.

use http::StatusCode;
use http::response::Parts;

use super::rejection::{Recognized, asks_again};

/// What a response means for its key.
///
/// The guide [`statuses`](crate::guide::statuses) lists every status with its class, the reason,
/// and what the next request sees.
///
/// | function | reads | used by |
/// |---|---|---|
/// | [`of_head`](Self::of_head) | status and headers | the layer, by default |
/// | [`by_ietf`](Self::by_ietf) | status and headers | the profile `ietf` |
/// | [`by_stripe`](Self::by_stripe) | status and headers | the profile [`stripe`](crate::IdempotencyLayer::stripe) |
/// | [`of`](Self::of) | the status alone | classifiers that decide by the status alone |
///
/// The three functions that read headers have one more rule: a 409 that asks for a retry is
/// discarded. It asks by `Retry-After` or by `X-Should-Retry: true`. With `X-Should-Retry: false`
/// it is definitive, whatever `Retry-After` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseClass {
    /// The response is definitive. The layer stores and replays it.
    Success,
    /// The attempt ended without a definitive response.
    Failed,
    /// The attempt was cut off behind the handler, and it is unknown how far it got.
    ///
    /// A gateway says so when it has sent the request and the connection to its upstream breaks or
    /// times out. The client gets the response, and nothing of it is stored. The layer gives the
    /// lease up, so the record is abandoned at once. [`OnAbandoned`](crate::OnAbandoned) then
    /// decides about the next request. In transaction mode it is [`Failed`](Self::Failed).
    ///
    /// No status has this class by default.
    Abandoned,
    /// Nothing happened. The layer restores the record to its state before the attempt.
    ///
    /// After a first attempt no record is left: the client may change its request and send it under
    /// the same key.
    ///
    /// While the operation is in doubt, the record stays bound to its fingerprint, and a different
    /// request is a mismatch. The client must then find out what was done. It must not use a new
    /// key.
    Discard,
}

impl ResponseClass {
    /// Returns the class by the default of the layer: [`of`](Self::of) the status, except that a
    /// 409 that asks for a retry is discarded.
    pub fn of_head(head: &Parts) -> Self {
        Self::unless_asked_again(head, Self::of)
    }

    /// Returns the default class by the status alone.
    ///
    /// | class | statuses |
    /// |---|---|
    /// | discarded | 1xx, 307, 308, 400, 401, 403, 405, 406, 407, 411 to 415, 417, 421 to 426, 428, 429, 431, 511 |
    /// | failed | 408, and all other 5xx |
    /// | success | all other 2xx, 3xx and 4xx |
    ///
    /// A discarded response says that nothing happened: "not like this", "not now", "not here". A
    /// 408 does not say so, because the layer has read the whole request before the handler runs.
    pub fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            400 | 401 | 403 | 405..=407 | 411..=415 | 417 | 421..=426 | 428 | 429 | 431 => {
                Self::Discard
            }
            _ => Self::of_any_rule(status),
        }
    }

    /// Returns the class by the rule of [`IdempotencyLayer::ietf`](crate::IdempotencyLayer).
    ///
    /// | class | statuses |
    /// |---|---|
    /// | discarded | 1xx, 307, 308, 511, and a 409 that asks for a retry |
    /// | failed | 408, and all other 5xx |
    /// | success | all other 2xx, 3xx and 4xx |
    pub fn by_ietf(head: &Parts) -> Self {
        Self::unless_asked_again(head, Self::of_any_rule)
    }

    /// Returns the class by the rule of [`IdempotencyLayer::stripe`](crate::IdempotencyLayer). It
    /// is [`by_ietf`](Self::by_ietf), except that 400, 401 and 429 are discarded.
    pub fn by_stripe(head: &Parts) -> Self {
        match head.status.as_u16() {
            400 | 401 | 429 => Self::Discard,
            _ => Self::by_ietf(head),
        }
    }

    /// Returns the class of a rejection by another layer. Neither class stores the response.
    pub(crate) fn of_rejection(rejection: Recognized) -> Self {
        if rejection.had_begun { Self::Failed } else { Self::Discard }
    }

    /// The part that all rules share.
    fn of_any_rule(status: StatusCode) -> Self {
        match status.as_u16() {
            ..200 | 307 | 308 | 511 => Self::Discard,
            408 | 500.. => Self::Failed,
            _ => Self::Success,
        }
    }

    /// Returns the class by `rule`, unless the response is a temporary conflict.
    fn unless_asked_again(head: &Parts, rule: fn(StatusCode) -> Self) -> Self {
        if head.status.as_u16() == 409 && asks_again(&head.headers) {
            return Self::Discard;
        }
        rule(head.status)
    }
}
