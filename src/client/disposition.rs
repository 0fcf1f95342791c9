//! What a response means for the operation and its key: one pure function.

use http::{HeaderMap, HeaderName, StatusCode, header};
use serde_json::Value;

use crate::client::profile::{Profile, nothing_happened};
use crate::headers::flag;
use crate::rejection::{LONGEST_PROBLEM, SHOULD_RETRY, is_problem};
use crate::response::RESULT;

/// What a response means for the operation that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The operation is over, and this is its outcome. A new operation takes a new key.
    Final,
    /// The same request can be sent again under the same key. A response with this disposition
    /// reaches the application only when there is no time, attempt or budget left.
    Retry,
    /// The response does not settle the operation, so its key must stay: either nothing happened
    /// and the mended request goes on under the key, or the outcome cannot be known from this
    /// response.
    Unknown,
}

use Disposition::{Final, Retry, Unknown};

/// Says that the operation was done, and that its response was not stored.
const NOT_RETAINED: &str = "idempotency_result_not_retained";
/// Marks a replay by Stripe, and by servers that copy it.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Says by Stripe's servers whether a retry makes sense.
const STRIPE_SHOULD_RETRY: HeaderName = HeaderName::from_static("stripe-should-retry");

/// A response as it is judged. [`ClientLayer`](super::ClientLayer) judges every response under a
/// key this way; other clients can do it themselves.
///
/// ```
/// use http::{HeaderMap, StatusCode};
/// use tower_idempotency::client::{Disposition, Reply};
///
/// let headers = HeaderMap::new();
/// let not_found = Reply::new(StatusCode::NOT_FOUND, &headers).body(b"");
/// assert_eq!(not_found.disposition(), Disposition::Final);
/// // An earlier attempt may have had an effect: a load balancer may have sent this 404.
/// assert_eq!(not_found.in_doubt(true).disposition(), Disposition::Unknown);
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use = "a reply says nothing until its disposition is asked for"]
pub struct Reply<'a> {
    status: u16,
    headers: &'a HeaderMap,
    body: Option<&'a [u8]>,
    is_redirected: bool,
    is_in_doubt: bool,
    profile: Profile,
}

impl<'a> Reply<'a> {
    /// Takes the status and the headers of a response. Its body counts as not read.
    pub fn new(status: impl Into<u16>, headers: &'a HeaderMap) -> Self {
        Self {
            status: status.into(),
            headers,
            body: None,
            is_redirected: false,
            is_in_doubt: false,
            profile: Profile::Default,
        }
    }

    /// Adds the body, read to its end. Without it, a 4xx with a problem document is
    /// [`Unknown`](Disposition::Unknown).
    pub fn body(self, body: &'a [u8]) -> Self {
        Self { body: Some(body), ..self }
    }

    /// Says whether the client followed a redirect to this response. Default: it did not.
    pub fn redirected(self, is_redirected: bool) -> Self {
        Self { is_redirected, ..self }
    }

    /// Says whether an earlier attempt under the same key may have had an effect. Default: no.
    pub fn in_doubt(self, is_in_doubt: bool) -> Self {
        Self { is_in_doubt, ..self }
    }

    /// Says what kind of server it is. Default: [`Profile::Default`].
    pub fn profile(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    /// Judges the response. The first row that applies decides:
    ///
    /// | the response | disposition |
    /// |---|---|
    /// | followed a redirect, or is 307, 308, 421 or status 0 | unknown |
    /// | `X-Should-Retry: true` or `Stripe-Should-Retry: true` | retry |
    /// | is a replay (`X-Idempotent-Result: true`, `Idempotent-Replayed: true`) | final; 408 and 5xx unknown |
    /// | has a problem document with `idempotency_key_in_flight` | retry |
    /// | … with `idempotency_result_not_retained` | final |
    /// | … with another `idempotency_` code, or one that cannot be read, on a 4xx that is not temporary | unknown |
    /// | 409 with `Retry-After` | retry |
    /// | 408, 425, 429, 500, 502, 503, 504, 520 to 530 (the temporary ones) | retry |
    /// | other 5xx | unknown |
    /// | 2xx | final |
    /// | anything else while the operation is in doubt | unknown |
    /// | a status whose response the server does not store, by [`Profile`] | unknown |
    /// | other 3xx and 4xx | final |
    ///
    /// Where a row says retry by code, `Retry-After` or status, `X-Should-Retry: false` makes it
    /// unknown.
    pub fn disposition(&self) -> Disposition {
        if self.is_from_elsewhere() {
            return Unknown;
        }
        let should_retry = should_retry(self.headers);
        if should_retry == Some(true) {
            return Retry;
        }
        if is_replay(self.headers) {
            // A replayed failure says the same each time.
            return if self.status == 408 || self.status >= 500 { Unknown } else { Final };
        }
        let retry = if should_retry == Some(false) { Unknown } else { Retry };
        self.by_problem(retry).unwrap_or_else(|| self.by_status(retry))
    }

    /// Whether the attempt may have had an effect that this response does not tell of.
    pub(crate) fn begins_doubt(&self) -> bool {
        let had_none = nothing_happened(self.status) && !self.is_redirected;
        !had_none && self.disposition() != Final
    }

    /// Whether the server says that it did not understand the key as it was sent.
    pub(crate) fn rejects_key(&self) -> bool {
        let is_rejected = |code: &str| ["idempotency_key_missing", "idempotency_key_invalid"].contains(&code);
        (400..500).contains(&self.status)
            && self.disposition() == Unknown
            && !self.is_from_elsewhere()
            && matches!(self.problem(), Some(Problem::Read { code: Some(code), .. }) if is_rejected(&code))
    }

    /// The status of the response that this one stands in for, because the server did not store it.
    pub(crate) fn original_status(&self) -> Option<StatusCode> {
        match self.problem()? {
            Problem::Read { code, original_status } if code.as_deref() == Some(NOT_RETAINED) => {
                StatusCode::from_u16(u16::try_from(original_status?).ok()?).ok()
            }
            _ => None,
        }
    }

    pub(crate) fn status(&self) -> Option<StatusCode> {
        StatusCode::from_u16(self.status).ok()
    }

    /// Whether another server, or another resource, may have sent it.
    fn is_from_elsewhere(&self) -> bool {
        self.is_redirected || matches!(self.status, 0 | 307 | 308 | 421)
    }

    fn is_temporary(&self) -> bool {
        matches!(self.status, 408 | 425 | 429 | 500 | 502..=504 | 520..=530)
    }

    fn by_problem(&self, retry: Disposition) -> Option<Disposition> {
        let is_rejection = self.status < 500 && !self.is_temporary();
        match self.problem()? {
            // A code that is needed may be in it.
            Problem::Unread => is_rejection.then_some(Unknown),
            Problem::Read { code, .. } => match code.as_deref()? {
                "idempotency_key_in_flight" => Some(retry),
                NOT_RETAINED => Some(Final),
                // A newer server has codes that this client does not know.
                code if code.starts_with("idempotency_") => is_rejection.then_some(Unknown),
                _ => None,
            },
        }
    }

    fn by_status(&self, retry: Disposition) -> Disposition {
        match self.status {
            409 if retry == Unknown || self.headers.contains_key(header::RETRY_AFTER) => retry,
            _ if self.is_temporary() => retry,
            200..300 => Final,
            _ if self.is_in_doubt || self.profile.discards(self.status) => Unknown,
            300..500 => Final,
            _ => Unknown,
        }
    }

    fn problem(&self) -> Option<Problem> {
        if self.status < 400 || !is_problem(self.headers) {
            return None;
        }
        let body = self.body.filter(|body| body.len() <= LONGEST_PROBLEM);
        let document = body.and_then(|body| serde_json::from_slice::<Value>(body).ok());
        Some(document.map_or(Problem::Unread, |document| {
            let code = document["code"].as_str().map(str::to_owned);
            Problem::Read { code, original_status: document["original_status"].as_u64() }
        }))
    }
}

/// A problem document (RFC 9457).
enum Problem {
    /// It was not read, is too long, or is not JSON.
    Unread,
    Read {
        code: Option<String>,
        original_status: Option<u64>,
    },
}

fn should_retry(headers: &HeaderMap) -> Option<bool> {
    flag(headers, &SHOULD_RETRY).or_else(|| flag(headers, &STRIPE_SHOULD_RETRY))
}

/// Whether the response was given before, and is given again now.
fn is_replay(headers: &HeaderMap) -> bool {
    [RESULT, REPLAYED].iter().any(|marker| flag(headers, marker) == Some(true))
}

#[cfg(test)]
mod tests;
