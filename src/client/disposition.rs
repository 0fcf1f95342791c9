//! What an answer says of the operation: the rules by which keys are kept, dropped and repeated.

use http::{HeaderMap, HeaderName, StatusCode, header};

use crate::headers::flag;
use crate::rejection::{SHOULD_RETRY, code, is_problem};
use crate::response::RESULT;

/// What an answer says of the operation that was asked for. [`ClientLayer`](super::ClientLayer) puts it into the
/// extensions of every answer under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The operation is finished, and this is its answer. The key has served: a new operation takes a new one.
    Final,
    /// To be repeated, under the same key.
    Retry,
    /// Not to be repeated as it is, and the key must stay: nothing has happened yet, or nobody knows what did.
    Unknown,
}

use Disposition::{Final, Retry, Unknown};

/// How the answer of a replay is marked by Stripe, and by servers that follow it.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

impl Disposition {
    /// Judges an answer by its status, its headers and, where they do not say enough, its body (empty if it is not
    /// known).
    ///
    /// | the answer | is |
    /// |---|---|
    /// | 2xx, 3xx, 404, 410 and other 4xx | definitive |
    /// | 425, 429, 500, 502, 503, 504 | to be retried; open, if it is a replay or says `X-Should-Retry: false` |
    /// | 400, 401, 403, 405, 407, 408, 411, 413, 414, 415, 422, 431 | open: nothing happened in this attempt. After a first attempt the mended request may go on under its key. While the operation is in doubt it is a mismatch: look first, and take no new key. A replay is definitive |
    /// | other 5xx | open |
    /// | 409 in flight: `Retry-After`, or the code `idempotency_key_in_flight` | to be retried |
    /// | 409 with the code `idempotency_key_reused`, `idempotency_outcome_unknown`, `idempotency_attempt_failed`, or with `X-Should-Retry: false` and no code | open |
    /// | 409 with the code `idempotency_result_not_retained` | definitive: it was done, but its answer was not kept |
    /// | any other 409 | definitive: the application's own |
    /// | anything with `X-Should-Retry: true`, such as a 408 with the code `request_timeout` | to be retried |
    ///
    /// A replay is marked `X-Idempotent-Result: true` or `Idempotent-Replayed: true`. Problem
    /// documents contain the codes (RFC 9457).
    pub fn of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let should_retry = flag(headers, &SHOULD_RETRY);
        if should_retry == Some(true) {
            return Retry;
        }
        let is_replay = is_replay(headers);
        let may_repeat = should_retry.is_none() && !is_replay;
        match status.as_u16() {
            409 => conflict(headers, body, should_retry, is_replay),
            425 | 429 | 500 | 502 | 503 | 504 if may_repeat => Retry,
            // A replayed 429 or 5xx says the same for ever.
            425 | 429 | 500..600 => Unknown,
            400 | 401 | 403 | 405 | 407 | 408 | 411 | 413 | 414 | 415 | 422 | 431 if !is_replay => Unknown,
            _ => Final,
        }
    }

    /// Judges an answer whose body was not read. A conflict whose problem document is unknown may be in flight: to take
    /// it for definitive would drop a key that is needed.
    pub(crate) fn of_unread(status: StatusCode, headers: &HeaderMap) -> Self {
        let disposition = Self::of(status, headers, &[]);
        let is_unknown = status.as_u16() == 409 && is_problem(headers) && !is_replay(headers);
        if is_unknown && disposition == Final { Unknown } else { disposition }
    }
}

/// A conflict is in flight, a misused key, or the answer of the application, which alone is definitive.
fn conflict(headers: &HeaderMap, body: &[u8], should_retry: Option<bool>, is_replay: bool) -> Disposition {
    if is_replay {
        return Final;
    }
    let code = if is_problem(headers) { code(body) } else { None };
    match code.as_deref() {
        Some("idempotency_result_not_retained") => Final,
        Some("idempotency_key_reused" | "idempotency_outcome_unknown" | "idempotency_attempt_failed") => {
            Unknown
        }
        _ if should_retry.is_some() => Unknown,
        Some("idempotency_key_in_flight") => Retry,
        _ if headers.contains_key(header::RETRY_AFTER) => Retry,
        _ => Final,
    }
}

/// Whether the answer was given before, and is now given again.
pub(crate) fn is_replay(headers: &HeaderMap) -> bool {
    [RESULT, REPLAYED].iter().any(|marker| flag(headers, marker) == Some(true))
}

#[cfg(test)]
mod tests;
