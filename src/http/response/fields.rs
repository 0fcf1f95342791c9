//! The fields of a response that may be stored and replayed. One rule applies to both directions.
//!
//! A store may contain records that this layer would not have written: records of an earlier
//! version or of another configuration, or forged ones. So the same rule filters a response on its
//! way into the store and a record on its way out.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::record::outcome::{Outcome, StoredBody};

/// Headers of one connection (RFC 9110, section 7.6.1), of one message, and of this layer. No list
/// can add them, because a replay has its own. `X-Should-Retry` is valid only at the time of the
/// response.
pub(super) static FRAMING: [&str; 14] = [
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "upgrade",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "x-idempotent-result",
    "x-idempotent-body",
    "x-idempotent-traceparent",
    "x-request-id",
    "x-original-request-id",
    "x-should-retry",
];

/// Headers that belong to a single response. A replay would send a session, a token, a challenge or
/// stale data to every client that retries the request.
pub(super) static OF_ONE_RESPONSE: [&str; 20] = [
    "set-cookie",
    "set-cookie2",
    "date",
    "age",
    "server",
    "alt-svc",
    "clear-site-data",
    "www-authenticate",
    "authorization",
    "proxy-authorization",
    "authentication-info",
    "proxy-authentication-info",
    "dpop-nonce",
    "replay-nonce",
    "x-access-token",
    "x-auth-token",
    "x-refresh-token",
    "x-session-token",
    "x-csrf-token",
    "x-xsrf-token",
];

/// Fields that a trailer section may not contain (RFC 9110, section 6.5.1), in addition to the
/// lists above and `Content-*`. They route a message or control how it is processed.
static NOT_IN_TRAILERS: [HeaderName; 7] = [
    header::HOST,
    header::TRAILER,
    header::CACHE_CONTROL,
    header::EXPIRES,
    header::PRAGMA,
    header::VARY,
    header::LOCATION,
];

/// Headers that control how long a cache treats a response as fresh (RFC 9111, section 5, and RFC
/// 9213).
static FRESHNESS: [HeaderName; 5] = [
    header::CACHE_CONTROL,
    header::EXPIRES,
    header::PRAGMA,
    HeaderName::from_static("cdn-cache-control"),
    HeaderName::from_static("surrogate-control"),
];

/// The header lists of a layer: names to store in addition, to store exclusively, and never to
/// store.
#[derive(Clone, Copy)]
pub(super) struct Lists<'a> {
    pub(super) also: &'a [HeaderName],
    pub(super) only: &'a [HeaderName],
    pub(super) never: &'a [HeaderName],
}

impl Lists<'_> {
    /// Whether the application has named this header.
    fn name(&self, name: &HeaderName) -> bool {
        self.also.contains(name) || self.only.contains(name)
    }

    /// Whether a header may be stored, and replayed from a record that contains it.
    pub(super) fn allow(&self, name: &HeaderName) -> bool {
        !FRAMING.contains(&name.as_str())
            && !self.never.contains(name)
            && (!OF_ONE_RESPONSE.contains(&name.as_str()) || self.name(name))
    }

    fn allow_trailer(&self, name: &HeaderName) -> bool {
        // RFC 9530 allows the digest of the content in the trailers.
        let is_of_content = name.as_str().starts_with("content-") && name != "content-digest";
        let is_forbidden = is_of_content
            || NOT_IN_TRAILERS.contains(name)
            || OF_ONE_RESPONSE.contains(&name.as_str());
        self.allow(name) && !is_forbidden
    }

    /// Removes the forbidden trailers of a body.
    pub(super) fn clean_trailers(&self, body: &mut StoredBody) {
        if let StoredBody::Whole { trailers, .. } = body
            && let Some(section) = trailers
            && retain(section, |name| self.allow_trailer(name))
            && section.is_empty()
        {
            *trailers = None;
        }
    }

    /// Removes from a record what a capture would not have stored.
    pub(super) fn clean(&self, outcome: &mut Outcome) {
        let named: Vec<_> = named_by_connection(&outcome.headers).map(str::to_owned).collect();
        let is_named =
            |name: &HeaderName| named.iter().any(|one| name.as_str().eq_ignore_ascii_case(one));
        retain(&mut outcome.headers, |name| self.allow(name) && !is_named(name));
        self.clean_trailers(&mut outcome.body);
        outcome.request_id = outcome.request_id.take().filter(is_storable_id);
    }

    /// Prevents caches from treating a replay as a new response. A replay has a new `Date`, so the
    /// lifetime of the first response would start again.
    pub(super) fn forbid_caching(&self, headers: &mut HeaderMap) {
        let is_fresh = headers.keys().any(|name| FRESHNESS.contains(name));
        if !is_fresh || FRESHNESS.iter().any(|name| self.name(name)) || says_no_store(headers) {
            return;
        }
        for name in &FRESHNESS {
            headers.remove(name);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// Whether the response already forbids every cache to store it. A header for one kind of cache
/// overrides `Cache-Control` there.
fn says_no_store(headers: &HeaderMap) -> bool {
    FRESHNESS[3..].iter().all(|name| !headers.contains_key(name))
        && headers.get_all(header::CACHE_CONTROL).iter().any(|value| {
            value
                .as_bytes()
                .split(|byte| *byte == b',')
                .any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-store"))
        })
}

/// Removes the fields that do not satisfy `stays`. Returns whether it removed any.
fn retain(headers: &mut HeaderMap, stays: impl Fn(&HeaderName) -> bool) -> bool {
    // Nearly always, all fields stay and nothing is copied.
    if headers.keys().all(&stays) {
        return false;
    }
    let mut left = HeaderMap::with_capacity(headers.keys_len());
    for (name, value) in headers.iter().filter(|(name, _)| stays(name)) {
        left.append(name.clone(), value.clone());
    }
    *headers = left;
    true
}

/// The headers that `Connection` names. They belong to the connection and not to the response.
pub(super) fn named_by_connection(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// The longest stored request id, in bytes. It is several times the length of a UUID or a trace id.
const LONGEST_REQUEST_ID: usize = 128;

/// Whether a request id is stored. The client may have chosen it, so it must not fill the store.
/// Stores that accept text must be able to accept it.
pub(super) fn is_storable_id(id: &HeaderValue) -> bool {
    (1..=LONGEST_REQUEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests;
