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

use crate::client::age::Age;
use crate::client::backoff::Backoff;
use crate::client::history::History;
use crate::client::profile::{KeyForm, Profile};
use crate::record::key::{IdempotencyKey, KeyError};
use crate::settings::KEY_HEADERS;

pub(crate) type MakeKey = dyn Fn(&Parts, &Bytes) -> IdempotencyKey + Send + Sync;
pub(crate) type JudgeError = dyn Fn(&(dyn Error + 'static)) -> bool + Send + Sync;

/// The default retention of this crate's server side, and the shortest of Stripe.
pub(crate) const RETENTION: Duration = Duration::from_hours(24);

/// The settings that all clones of a layer, and all of its services, share.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) profile: Profile,
    pub(crate) header: HeaderName,
    pub(crate) is_quoted: bool,
    pub(crate) methods: Vec<Method>,
    /// `None` makes a fresh key for each operation.
    pub(crate) make_key: Option<Arc<MakeKey>>,
    pub(crate) is_transient: Arc<JudgeError>,
    pub(crate) retention: Duration,
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
        let profile = Profile::Default;
        Self {
            profile,
            header: profile.header(),
            is_quoted: profile.is_quoted(),
            methods: profile.methods(),
            make_key: None,
            is_transient: Arc::new(|_| true),
            retention: RETENTION,
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

/// An extension that binds a request to its [`Operation`](super::Operation).
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    pub(crate) key: IdempotencyKey,
    pub(crate) age: Age,
    pub(crate) history: Arc<History>,
}

/// The key of a request, and what is known about it.
pub(crate) struct Marked {
    /// `None` if this crate cannot read it.
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) form: KeyForm,
    pub(crate) age: Age,
    pub(crate) history: Arc<History>,
}

impl Settings {
    /// Whether the client retries a request, because of its method or because it has a key already.
    pub(crate) fn guards(&self, request: &Parts) -> bool {
        let is_bound = request.extensions.get::<Bound>().is_some();
        self.methods.contains(&request.method) || is_bound || self.sent_in(request).is_some()
    }

    /// The header that contains the key of a request.
    fn sent_in<'a>(&self, request: &'a Parts) -> Option<(HeaderName, &'a HeaderValue)> {
        let names = [self.header.clone()].into_iter().chain(KEY_HEADERS);
        names.into_iter().find_map(|name| request.headers.get(&name).map(|value| (name, value)))
    }

    /// Gives a request its key: that of its [`Operation`](super::Operation), the one in its
    /// headers, or a new one.
    ///
    /// # Errors
    ///
    /// If the key is empty, because an empty key protects nothing.
    pub(crate) fn mark(&self, request: &mut Parts, body: &Bytes) -> Result<Marked, KeyError> {
        if let Some(Bound { key, age, history }) = request.extensions.get().cloned() {
            let form = self.write(request, &key);
            return Ok(Marked { key: Some(key), form, age, history });
        }
        let age = Age::from_now_on(self.retention);
        if let Some((header, value)) = self.sent_in(request) {
            let key = match IdempotencyKey::parse(value.as_bytes()) {
                Err(KeyError::Empty) => return Err(KeyError::Empty),
                // A server may accept keys that this crate rejects.
                key => key.ok(),
            };
            let form = KeyForm { header, is_quoted: value.as_bytes().starts_with(b"\"") };
            return Ok(Marked { key, form, age, history: History::not_known() });
        }
        let (key, history) = match &self.make_key {
            // The application may derive a key that it has sent before.
            Some(make) => (make(request, body), History::not_known()),
            None => (fresh_key(), History::clear()),
        };
        let form = self.write(request, &key);
        Ok(Marked { key: Some(key), form, age, history })
    }

    fn write(&self, request: &mut Parts, key: &IdempotencyKey) -> KeyForm {
        // The server would reject two different keys.
        for header in &KEY_HEADERS {
            request.headers.remove(header);
        }
        request.headers.insert(self.header.clone(), value(key, self.is_quoted));
        KeyForm { header: self.header.clone(), is_quoted: self.is_quoted }
    }
}

/// The key as a header value. The conversion cannot fail, because keys are visible ASCII and
/// spaces.
pub(crate) fn value(key: &IdempotencyKey, is_quoted: bool) -> HeaderValue {
    let text = HeaderValue::try_from(key.written(is_quoted));
    let mut value = text.unwrap_or_else(|_| HeaderValue::from_static(""));
    // HTTP/2 then does not store it in its tables, and `Debug` does not show it.
    value.set_sensitive(true);
    value
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("profile", &self.profile)
            .field("header", &self.header)
            .field("methods", &self.methods)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("total_timeout", &self.total_timeout)
            .finish_non_exhaustive()
    }
}

/// A new key: a UUID of version 7 (RFC 9562). It starts with the time, so that keys sort by their
/// age in the logs of the server.
pub(crate) fn fresh_key() -> IdempotencyKey {
    IdempotencyKey::made(Uuid::now_v7().to_string())
}
