//! Every setting of a client, and its default.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};
use tower::retry::budget::{Budget, TpsBudget};
use uuid::Uuid;

use crate::client::backoff::Backoff;
use crate::config::KEY_HEADERS;
use crate::key::{IdempotencyKey, KeyError};

pub(crate) type MakeKey = dyn Fn(&Parts, &Bytes) -> IdempotencyKey + Send + Sync;
pub(crate) type JudgeError = dyn Fn(&(dyn Error + 'static)) -> bool + Send + Sync;

/// What all clones of a layer, and all services made of it, have in common.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) header: HeaderName,
    pub(crate) is_quoted: bool,
    pub(crate) methods: Vec<Method>,
    pub(crate) make_key: Arc<MakeKey>,
    pub(crate) is_transient: Arc<JudgeError>,
    pub(crate) max_request: usize,
    pub(crate) max_response: usize,
    pub(crate) attempt_timeout: Duration,
    pub(crate) total_timeout: Duration,
    pub(crate) max_attempts: u32,
    pub(crate) max_retry_after: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) budget: Arc<dyn Budget + Send + Sync>,
}

impl Default for Settings {
    fn default() -> Self {
        let [header, _] = KEY_HEADERS;
        Self {
            header,
            is_quoted: false,
            methods: vec![Method::POST, Method::PATCH],
            make_key: Arc::new(|_, _| fresh_key()),
            is_transient: Arc::new(|_| true),
            max_request: 1 << 20,
            max_response: 1 << 20,
            attempt_timeout: Duration::from_secs(10),
            total_timeout: Duration::from_mins(1),
            max_attempts: u32::MAX,
            max_retry_after: Duration::from_secs(30),
            backoff: Backoff { base: Duration::from_millis(100), most: Duration::from_secs(5) },
            budget: Arc::new(TpsBudget::default()),
        }
    }
}

impl Settings {
    /// Whether a request is the client's business: by its method, or because it has a key already.
    pub(crate) fn guards(&self, request: &Parts) -> bool {
        self.methods.contains(&request.method) || self.has_key(request)
    }

    fn has_key(&self, request: &Parts) -> bool {
        let has_header = |name: &HeaderName| request.headers.contains_key(name);
        request.extensions.get::<IdempotencyKey>().is_some()
            || has_header(&self.header)
            || KEY_HEADERS.iter().any(has_header)
    }

    /// Gives a request its key: that of its [`Operation`](super::Operation), or the one that it has, or a new one. Tells
    /// which one it is, if it can be read.
    ///
    /// # Errors
    ///
    /// An empty key protects nothing.
    pub(crate) fn mark(&self, request: &mut Parts, body: &Bytes) -> Result<Option<IdempotencyKey>, KeyError> {
        let operations = request.extensions.get::<IdempotencyKey>().cloned();
        if operations.is_none() && self.has_key(request) {
            let value = |name: &HeaderName| request.headers.get(name);
            let value = value(&self.header).or_else(|| KEY_HEADERS.iter().find_map(value));
            return match value.map(|value| IdempotencyKey::parse(value.as_bytes())) {
                Some(Err(KeyError::Empty)) => Err(KeyError::Empty),
                // A server may know keys that this crate does not.
                key => Ok(key.and_then(Result::ok)),
            };
        }
        let key = operations.unwrap_or_else(|| (self.make_key)(request, body));
        // Two different keys would be refused.
        for header in &KEY_HEADERS {
            request.headers.remove(header);
        }
        request.headers.insert(self.header.clone(), value(&key, self.is_quoted));
        Ok(Some(key))
    }
}

/// The key as a header has it. Keys are visible ASCII and spaces, so that none is left out.
pub(crate) fn value(key: &IdempotencyKey, is_quoted: bool) -> HeaderValue {
    let text = HeaderValue::try_from(key.written(is_quoted));
    let mut value = text.unwrap_or_else(|_| HeaderValue::from_static(""));
    // HTTP/2 then does not keep it in its tables, and `Debug` does not show it.
    value.set_sensitive(true);
    value
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("header", &self.header)
            .field("methods", &self.methods)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("total_timeout", &self.total_timeout)
            .finish_non_exhaustive()
    }
}

/// A key that nobody has used: a UUID of version 7 (RFC 9562), whose first half is the time, so that keys sort by their
/// age in the server's store and its logs.
pub(crate) fn fresh_key() -> IdempotencyKey {
    IdempotencyKey::made(Uuid::now_v7().to_string())
}
