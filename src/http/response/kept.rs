//! What is kept of an answer: all of it, or less, and which of its headers.

use http::{HeaderMap, HeaderName, HeaderValue, Response, header};

use super::REQUEST_ID;
use super::fields::{Lists, is_storable_id, named_by_connection};
use crate::record::outcome::{NotRetained, Outcome, StoredBody};

#[cfg(feature = "repr-digest")]
mod digest;
#[cfg(not(feature = "repr-digest"))]
#[path = "kept/digest/off.rs"]
mod digest;

/// What is kept of an answer, and so what a repeat gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum StoredResponse {
    /// Status, safe headers, body and trailers: a repeat gets the answer byte for byte.
    #[default]
    Full,
    /// The status, and headers that say nothing of what the answer holds. A repeat gets these with an empty body and
    /// `X-Idempotent-Body: omitted`, unless the body was empty already.
    ///
    /// The headers are `Allow`, `Cache-Control`, `Retry-After`, `Vary`, `Strict-Transport-Security`, `X-Content-Type-Options`
    /// and the answer to a CORS request (`Access-Control-Allow-Origin`, `-Allow-Credentials`, `-Expose-Headers`). Not `Location` or
    /// `ETag`, which name and describe what was made; [`store_headers`](crate::IdempotencyLayer::store_headers) adds what
    /// a client needs. The request id is stored, because it is made to be logged, if it is visible ASCII of at most 128 bytes.
    Status,
    /// As [`RecordStatus`](Self::Status), and the SHA-256 digest of the body as `Repr-Digest` (RFC 9530), so that a client
    /// that has the first answer can tell whether it is this one. Whoever reads the store can try out guesses of a
    /// short body against it.
    #[cfg(feature = "repr-digest")]
    Digest,
    /// That it was done, and its status. A repeat is refused with 409
    /// ([`Rejection::ResultNotRetained`](crate::Rejection)).
    Nothing,
}

/// Headers that say how an answer may be used, and nothing of what it holds.
const SAY_NOTHING: [HeaderName; 9] = [
    header::ALLOW,
    header::CACHE_CONTROL,
    header::RETRY_AFTER,
    header::VARY,
    header::STRICT_TRANSPORT_SECURITY,
    header::X_CONTENT_TYPE_OPTIONS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
];

/// The settings of what is kept.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    pub(crate) keep: StoredResponse,
    pub(crate) also: Vec<HeaderName>,
    pub(crate) only: Option<Vec<HeaderName>>,
    pub(crate) never: Vec<HeaderName>,
}

impl Kept {
    /// What goes into the record of an answer whose body was captured as `body`.
    pub(crate) fn outcome<B>(
        &self,
        response: &Response<B>,
        request_id: Option<HeaderValue>,
        body: StoredBody,
        keep: StoredResponse,
    ) -> Outcome {
        let mut headers = self.headers(response.headers(), keep);
        digest::add(keep, response.headers(), &body, &mut headers);
        for name in &self.never {
            headers.remove(name);
        }
        let request_id = response.headers().get(REQUEST_ID).cloned().or(request_id).filter(is_storable_id);
        let mut body = keep.of(body);
        self.lists().clean_trailers(&mut body);
        Outcome { status: response.status(), headers, request_id, body }
    }

    /// Takes out of a record what this layer would not have stored.
    pub(crate) fn clean(&self, outcome: &mut Outcome) {
        self.lists().clean(outcome);
    }

    /// Has no cache take a replay for a new response, unless the application has named the headers that say so.
    pub(super) fn forbid_caching(&self, headers: &mut HeaderMap) {
        self.lists().forbid_caching(headers);
    }

    fn lists(&self) -> Lists<'_> {
        let only = self.only.as_deref().unwrap_or_default();
        Lists { also: &self.also, only, never: &self.never }
    }

    fn headers(&self, headers: &HeaderMap, keep: StoredResponse) -> HeaderMap {
        let mut kept = HeaderMap::with_capacity(headers.keys_len());
        for (name, value) in headers {
            let is_named = || named_by_connection(headers).any(|one| one.eq_ignore_ascii_case(name.as_str()));
            if self.keeps(name, keep) && !is_named() {
                kept.append(name.clone(), value.clone());
            }
        }
        kept
    }

    fn keeps(&self, name: &HeaderName, keep: StoredResponse) -> bool {
        if !self.lists().allow(name) {
            return false;
        }
        if self.also.contains(name) {
            return true;
        }
        match (&self.only, keep) {
            (Some(only), StoredResponse::Full) => only.contains(name),
            (None, StoredResponse::Full) => true,
            (_, StoredResponse::Nothing) => false,
            // A list that was made for whole answers does not bring back what this one is to leave out.
            (only, _) => SAY_NOTHING.contains(name) && only.as_ref().is_none_or(|only| only.contains(name)),
        }
    }
}

impl StoredResponse {
    /// What is left of a body that was captured.
    pub(crate) fn of(self, body: StoredBody) -> StoredBody {
        match (self, body) {
            (Self::Full, body) | (_, body @ StoredBody::NotRetained(NotRetained::Failure)) => body,
            (Self::Nothing, _) => StoredBody::NotRetained(NotRetained::Withheld),
            // Nothing is left out of nothing.
            (_, StoredBody::Whole { bytes, trailers: None }) if bytes.is_empty() => {
                StoredBody::Whole { bytes, trailers: None }
            }
            _ => StoredBody::Omitted,
        }
    }
}

#[cfg(test)]
mod tests;
