//! What a response means for its key.

use http::StatusCode;
use http::response::Parts;

use super::rejection::{Recognized, asks_again};

/// What a response means for the key. The guide [`statuses`](crate::guide::statuses) has every status,
/// the reason, and what the next request sees.
///
/// | function | reads | used by |
/// |---|---|---|
/// | [`of_head`](Self::of_head) | status and headers | the layer, by default |
/// | [`by_ietf`](Self::by_ietf) | status and headers | the profile `ietf` |
/// | [`by_stripe`](Self::by_stripe) | status and headers | the profile [`stripe`](crate::IdempotencyLayer::stripe) |
/// | [`of`](Self::of) | the status alone | classifiers that decide about statuses only |
///
/// The three that read the headers have one rule more: a 409 that says "ask again" is forgotten. It
/// says so by `Retry-After` or by `X-Should-Retry: true`. `X-Should-Retry: false` makes it definitive,
/// whatever `Retry-After` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseClass {
    /// Definitive: it is stored and replayed.
    Success,
    /// The attempt ended without a definitive response.
    Failed,
    /// Nothing happened. The record is then as it was before the attempt.
    ///
    /// After a first attempt there is no record: the client may change its request and send it
    /// under the same key.
    ///
    /// While the operation is in doubt, the record stays bound to its fingerprint, and another
    /// request is a mismatch. The client must then look what was done, and must not take a new key.
    Discard,
}

impl ResponseClass {
    /// The default of the layer: [`of`](Self::of) the status, and a 409 that says "ask again" is
    /// forgotten.
    pub fn of_head(head: &Parts) -> Self {
        Self::unless_asked_again(head, Self::of)
    }

    /// The default, by the status alone.
    ///
    /// | class | statuses |
    /// |---|---|
    /// | forgotten | 1xx, 307, 308, 400, 401, 403, 405, 406, 407, 411 to 415, 417, 421 to 426, 428, 429, 431, 511 |
    /// | failed | 408, and all other 5xx |
    /// | success | all other 2xx, 3xx and 4xx |
    ///
    /// A response that is forgotten says that nothing happened: "not like this", "not now", "not here".
    /// 408 does not say so, because the layer has read the whole request before the handler ran.
    pub fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            400 | 401 | 403 | 405..=407 | 411..=415 | 417 | 421..=426 | 428 | 429 | 431 => Self::Discard,
            _ => Self::of_any_rule(status),
        }
    }

    /// The rule of [`IdempotencyLayer::ietf`](crate::IdempotencyLayer): every 4xx is definitive, but
    /// for 408, which failed, and a 409 that says "ask again". 307, 308, 511 and 1xx are forgotten, all
    /// other 2xx and 3xx are definitive, and all other 5xx failed.
    pub fn by_ietf(head: &Parts) -> Self {
        Self::unless_asked_again(head, Self::of_any_rule)
    }

    /// The rule of [`IdempotencyLayer::stripe`](crate::IdempotencyLayer): as [`by_ietf`](Self::by_ietf),
    /// but 400, 401 and 429 are forgotten.
    pub fn by_stripe(head: &Parts) -> Self {
        match head.status.as_u16() {
            400 | 401 | 429 => Self::Discard,
            _ => Self::by_ietf(head),
        }
    }

    /// What a rejection by another layer means. Neither class stores it.
    pub(crate) fn of_rejection(rejection: Recognized) -> Self {
        if rejection.had_begun { Self::Failed } else { Self::Discard }
    }

    /// What the rules agree on.
    fn of_any_rule(status: StatusCode) -> Self {
        match status.as_u16() {
            ..200 | 307 | 308 | 511 => Self::Discard,
            408 | 500.. => Self::Failed,
            _ => Self::Success,
        }
    }

    /// The class by a rule for statuses, unless it is a conflict of the moment.
    fn unless_asked_again(head: &Parts, rule: fn(StatusCode) -> Self) -> Self {
        if head.status.as_u16() == 409 && asks_again(&head.headers) {
            return Self::Discard;
        }
        rule(head.status)
    }
}
