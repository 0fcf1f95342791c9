//! Judges what a response means for the operation and its key, in one pure function.

use http::{HeaderMap, HeaderName, StatusCode, header};
use serde_json::Value;

use crate::client::profile::{Profile, nothing_happened};
use crate::http::headers::flag;
use crate::http::rejection::{LONGEST_PROBLEM, SHOULD_RETRY, is_problem};
use crate::http::response::RESULT;

/// What a response means for the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The operation is over, and this is its outcome. A new operation needs a new key.
    Final,
    /// The same request can be sent again under the same key. A response with this disposition
    /// reaches the application only when there is no time, attempt or budget left.
    Retry,
    /// The response does not settle the operation, so do not change its key. Either nothing
    /// happened, and the corrected request can use the key, or this response does not tell the
    /// outcome.
    Unknown,
}

use Disposition::{Final, Retry, Unknown};

/// Marks a replay of Stripe, and of servers that copy it.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Says whether a retry makes sense, in responses of Stripe.
const STRIPE_SHOULD_RETRY: HeaderName = HeaderName::from_static("stripe-should-retry");

/// The parts of a response that decide its [`Disposition`].
///
/// [`ClientLayer`](super::ClientLayer) judges every response under a key by it. Other clients can
/// use it themselves.
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
    problem: Problem,
    is_redirected: bool,
    is_in_doubt: bool,
    profile: Profile,
}

impl<'a> Reply<'a> {
    /// Makes a reply from the status and the headers of a response. Its body counts as not read.
    pub fn new(status: impl Into<u16>, headers: &'a HeaderMap) -> Self {
        let status = status.into();
        let has_problem = status >= 400 && is_problem(headers);
        Self {
            status,
            headers,
            problem: if has_problem { Problem::Unread } else { Problem::None },
            is_redirected: false,
            is_in_doubt: false,
            profile: Profile::Default,
        }
    }

    /// Adds the whole body. Without it, a 4xx with a problem document is
    /// [`Unknown`](Disposition::Unknown).
    pub fn body(self, body: &[u8]) -> Self {
        let problem =
            if self.problem == Problem::None { Problem::None } else { Problem::read(body) };
        Self { problem, ..self }
    }

    /// Sets whether the client followed a redirect to this response. Default: no.
    pub fn redirected(self, is_redirected: bool) -> Self {
        Self { is_redirected, ..self }
    }

    /// Sets whether an earlier attempt under the same key may have had an effect. Default: no.
    pub fn in_doubt(self, is_in_doubt: bool) -> Self {
        Self { is_in_doubt, ..self }
    }

    /// Sets the kind of the server. Default: [`Profile::Default`].
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
    /// `X-Should-Retry: false` changes a retry by code, `Retry-After` or status to unknown.
    pub fn disposition(&self) -> Disposition {
        if self.is_from_elsewhere() {
            return Unknown;
        }
        let should_retry = should_retry(self.headers);
        if should_retry == Some(true) {
            return Retry;
        }
        if is_replay(self.headers) {
            // A retry gets the same replay of a failure again.
            return if self.status == 408 || self.status >= 500 { Unknown } else { Final };
        }
        let retry = if should_retry == Some(false) { Unknown } else { Retry };
        self.by_problem(retry).unwrap_or_else(|| self.by_status(retry))
    }

    /// Whether the attempt may have had an effect, but this response does not report it.
    pub(crate) fn begins_doubt(&self) -> bool {
        let had_none = nothing_happened(self.status) && !self.is_redirected;
        !had_none && self.disposition() != Final
    }

    /// Whether the server says that it did not understand the key as it was sent.
    pub(crate) fn rejects_key(&self) -> bool {
        self.problem == Problem::KeyRejected
            && self.status < 500
            && self.disposition() == Unknown
            && !self.is_from_elsewhere()
    }

    /// The status of the operation's response. If the server did not store that response, this is
    /// its original status. `None` if it is not known.
    pub(crate) fn final_status(&self) -> Option<StatusCode> {
        match self.problem {
            Problem::NotRetained { original_status } => original_status,
            _ => StatusCode::from_u16(self.status).ok(),
        }
    }

    /// Whether another server or another resource may have sent the response.
    fn is_from_elsewhere(&self) -> bool {
        self.is_redirected || matches!(self.status, 0 | 307 | 308 | 421)
    }

    fn is_temporary(&self) -> bool {
        matches!(self.status, 408 | 425 | 429 | 500 | 502..=504 | 520..=530)
    }

    fn by_problem(&self, retry: Disposition) -> Option<Disposition> {
        let is_rejection = self.status < 500 && !self.is_temporary();
        match self.problem {
            Problem::InFlight => Some(retry),
            Problem::NotRetained { .. } => Some(Final),
            // An unread document may contain a code that matters. A newer server may have codes
            // that this client does not know.
            Problem::Unread | Problem::KeyRejected | Problem::OtherCode => {
                is_rejection.then_some(Unknown)
            }
            Problem::None => None,
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
}

/// The problem document (RFC 9457) of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Problem {
    /// There is no document, or one without a code of this crate.
    None,
    /// The document was not read, is too long, or is not JSON.
    Unread,
    InFlight,
    /// The operation was done, and its response was not stored.
    NotRetained {
        original_status: Option<StatusCode>,
    },
    /// The server says that the key is missing or malformed.
    KeyRejected,
    /// Another code of this crate, whether this client knows it or not.
    OtherCode,
}

impl Problem {
    fn read(document: &[u8]) -> Self {
        if document.len() > LONGEST_PROBLEM {
            return Self::Unread;
        }
        let Ok(document) = serde_json::from_slice::<Value>(document) else { return Self::Unread };
        match document["code"].as_str() {
            Some("idempotency_key_in_flight") => Self::InFlight,
            Some("idempotency_result_not_retained") => {
                let status =
                    document["original_status"].as_u64().and_then(|status| status.try_into().ok());
                Self::NotRetained {
                    original_status: status.and_then(|status| StatusCode::from_u16(status).ok()),
                }
            }
            Some("idempotency_key_missing" | "idempotency_key_invalid") => Self::KeyRejected,
            Some(code) if code.starts_with("idempotency_") => Self::OtherCode,
            _ => Self::None,
        }
    }
}

fn should_retry(headers: &HeaderMap) -> Option<bool> {
    flag(headers, &SHOULD_RETRY).or_else(|| flag(headers, &STRIPE_SHOULD_RETRY))
}

/// Whether the response is a replay.
fn is_replay(headers: &HeaderMap) -> bool {
    [RESULT, REPLAYED].iter().any(|marker| flag(headers, marker) == Some(true))
}

#[cfg(test)]
mod tests;
