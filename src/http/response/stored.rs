//! The parts of a response that are stored: all of it or less, and which headers.

use http::{HeaderMap, HeaderName, HeaderValue, Response, header};

use super::REQUEST_ID;
use super::fields::{Lists, is_storable_id, named_by_connection};
use crate::record::outcome::{NotRetained, Outcome, StoredBody};

#[cfg(feature = "repr-digest")]
mod digest;
#[cfg(not(feature = "repr-digest"))]
#[path = "stored/digest/off.rs"]
mod digest;

/// How much of a response is stored, and so what a retry receives.
///
/// The layer's setting is [`stored_response`](crate::IdempotencyLayer::stored_response). A handler
/// overrides it for one response by
/// [`ResponseDirective::stored_response`](crate::ResponseDirective::stored_response).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum StoredResponse {
    /// Status, safe headers, body and trailers. A retry receives the response byte for byte.
    #[default]
    Full,
    /// The status, and headers that do not reveal the content of the response.
    ///
    /// A retry receives these with an empty body and `X-Idempotent-Body: omitted`. The marker is
    /// absent if the body was empty already.
    ///
    /// The stored headers are:
    ///
    /// - `Allow`, `Cache-Control`, `Retry-After` and `Vary`;
    /// - `Strict-Transport-Security` and `X-Content-Type-Options`;
    /// - the CORS headers `Access-Control-Allow-Origin`, `Access-Control-Allow-Credentials` and
    ///   `Access-Control-Expose-Headers`;
    /// - the request id, because it is made for logs, if it is visible ASCII of at most 128 bytes.
    ///
    /// `Location` and `ETag` are not stored, because they name and describe the created resource.
    /// Use [`store_headers`](crate::IdempotencyLayer::store_headers) to add the headers that a
    /// client needs.
    Status,
    /// As [`Status`](Self::Status), plus the SHA-256 digest of the body as `Repr-Digest` (RFC
    /// 9530).
    ///
    /// A client that has the first response can use the digest to check whether a replay is that
    /// response.
    ///
    /// A reader of the store can test guesses of a short body against the digest.
    #[cfg(feature = "repr-digest")]
    Digest,
    /// Only that the operation was done, and its status. A retry is rejected with 409
    /// ([`Rejection::ResultNotRetained`](crate::Rejection)).
    Nothing,
}

/// Headers that say how a response may be used, but do not reveal its content.
static NEUTRAL: [HeaderName; 9] = [
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

/// The settings that select the stored parts of a response.
#[derive(Clone, Default)]
pub(crate) struct StoredParts {
    pub(crate) level: StoredResponse,
    pub(crate) also: Vec<HeaderName>,
    pub(crate) only: Option<Vec<HeaderName>>,
    pub(crate) never: Vec<HeaderName>,
}

impl StoredParts {
    /// Builds the outcome to store for a response whose body was captured as `body`.
    pub(crate) fn outcome<B>(
        &self,
        response: &Response<B>,
        request_id: Option<HeaderValue>,
        body: StoredBody,
        level: StoredResponse,
    ) -> Outcome {
        let mut headers = self.headers(response.headers(), level);
        digest::add(level, response.headers(), &body, &mut headers);
        for name in &self.never {
            headers.remove(name);
        }
        let request_id =
            response.headers().get(REQUEST_ID).cloned().or(request_id).filter(is_storable_id);
        let mut body = level.of(body);
        self.lists().clean_trailers(&mut body);
        Outcome { status: response.status(), headers, request_id, body }
    }

    /// Removes from a record what this layer would not have stored.
    pub(crate) fn clean(&self, outcome: &mut Outcome) {
        self.lists().clean(outcome);
    }

    /// Prevents caches from treating a replay as a new response, unless the application has named
    /// the headers that control caching.
    pub(super) fn forbid_caching(&self, headers: &mut HeaderMap) {
        self.lists().forbid_caching(headers);
    }

    fn lists(&self) -> Lists<'_> {
        let only = self.only.as_deref().unwrap_or_default();
        Lists { also: &self.also, only, never: &self.never }
    }

    fn headers(&self, headers: &HeaderMap, level: StoredResponse) -> HeaderMap {
        let mut stored = HeaderMap::with_capacity(headers.keys_len());
        let named: Vec<_> = named_by_connection(headers).collect();
        for (name, value) in headers {
            let is_named = || named.iter().any(|one| one.eq_ignore_ascii_case(name.as_str()));
            if self.is_stored(name, level) && !is_named() {
                stored.append(name.clone(), value.clone());
            }
        }
        stored
    }

    fn is_stored(&self, name: &HeaderName, level: StoredResponse) -> bool {
        if !self.lists().allow(name) {
            return false;
        }
        if self.also.contains(name) {
            return true;
        }
        match (&self.only, level) {
            (Some(only), StoredResponse::Full) => only.contains(name),
            (None, StoredResponse::Full) => true,
            (_, StoredResponse::Nothing) => false,
            // A list made for full responses must not add back what this level leaves out.
            (only, _) => {
                NEUTRAL.contains(name) && only.as_ref().is_none_or(|only| only.contains(name))
            }
        }
    }
}

impl StoredResponse {
    /// Whether a replay may have a digest in place of the body.
    #[cfg(feature = "openapi")]
    pub(crate) fn has_digest(self) -> bool {
        digest::is_added(self)
    }

    /// Reduces a captured body to the part that is stored.
    pub(crate) fn of(self, body: StoredBody) -> StoredBody {
        match (self, body) {
            (Self::Full, body) | (_, body @ StoredBody::NotRetained(NotRetained::Failure)) => body,
            (Self::Nothing, _) => StoredBody::NotRetained(NotRetained::Withheld),
            // An empty body has nothing to omit.
            (_, StoredBody::Whole { bytes, trailers: None }) if bytes.is_empty() => {
                StoredBody::Whole { bytes, trailers: None }
            }
            _ => StoredBody::Omitted,
        }
    }
}

#[cfg(test)]
mod tests;
