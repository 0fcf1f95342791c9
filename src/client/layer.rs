//! [`ClientLayer`]: how a client is made and set up.

use std::error::Error;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, Method};
use tower::retry::budget::Budget;
use tower_layer::Layer;

use crate::client::service::Client;
use crate::client::settings::Settings;
use crate::key::IdempotencyKey;

/// Makes the requests of a client safe to repeat, and repeats them until their answer is certain.
///
/// A POST or PATCH gets a key, unless it has one; every attempt has the same key and the same bytes. Every other request
/// goes through untouched, once, unless it bears a key. Which answers are repeated is what
/// [`Disposition::of`](super::Disposition::of) says; an attempt without an answer is repeated too, and so is one whose
/// answer was cut off in its middle: answers are read whole before they count.
///
/// The inner client must not repeat requests by itself beyond what was never sent, and need not bound their time.
///
/// ```
/// use std::time::Duration;
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use tower::{Layer, ServiceExt};
/// use tower_idempotency::client::{ClientLayer, Disposition};
///
/// # async fn pay() -> Result<(), Box<dyn std::error::Error>> {
/// let connections = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
/// let client = ClientLayer::new().total_timeout(Duration::from_secs(20)).layer(connections);
///
/// let body = Full::from(r#"{"amount":1200,"currency":"EUR","to":"acct_2"}"#);
/// let request = http::Request::post("http://127.0.0.1:3000/payments")
///     .header("content-type", "application/json")
///     .body(body)?;
/// let answer = client.oneshot(request).await?;
/// assert_eq!(answer.extensions().get(), Some(&Disposition::Final));
/// # Ok(())
/// # }
/// ```
///
/// A clone shares the budget.
#[derive(Debug, Clone, Default)]
#[must_use = "a layer does nothing until it is put around a client"]
pub struct ClientLayer {
    pub(crate) settings: Arc<Settings>,
}

impl ClientLayer {
    /// Adds keys to POST and PATCH, and repeats them for up to a minute.
    pub fn new() -> Self {
        Self::default()
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// Sets the header that bears the key. Default: `X-Idempotency-Key`. A key that stands in it, in `X-Idempotency-Key`
    /// or in `Idempotency-Key` is used as it is.
    pub fn header(self, header: HeaderName) -> Self {
        self.set(|settings| settings.header = header)
    }

    /// Sends keys as RFC 9651 Strings, in quotes, as the IETF draft has them. Default: bare. Keys that a request has
    /// already stay as they are.
    pub fn structured_field(self) -> Self {
        self.set(|settings| settings.is_quoted = true)
    }

    /// Sets the methods that get a key. Default: POST and PATCH.
    pub fn methods(self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.set(|settings| settings.methods = methods.into_iter().collect())
    }

    /// Makes keys by a function of one's own, for example with [`derive_key`](super::derive_key). It is called once for an
    /// operation, not for each attempt. Default: a UUID of version 7.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use tower_idempotency::client::{ClientLayer, TimeWindow, derive_key};
    ///
    /// let layer = ClientLayer::new().key_with(|head, body| {
    ///     let hour = TimeWindow::containing(SystemTime::now(), Duration::from_hours(1));
    ///     derive_key("till-4", head.uri.path(), hour, body)
    /// });
    /// ```
    pub fn key_with(self, make: impl Fn(&Parts, &Bytes) -> IdempotencyKey + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.make_key = Arc::new(make))
    }

    /// Sets the largest request body under a key, in bytes: it is held until the answer is certain. A larger one is an
    /// error, and is not sent. Default: 1 MiB.
    pub fn max_request(self, bytes: usize) -> Self {
        self.set(|settings| settings.max_request = bytes)
    }

    /// Sets the largest answer that is read whole before it counts, in bytes. A larger one, or a stream of events, is
    /// handed on as it comes, and is not repeated when it is cut off. Default: 1 MiB.
    pub fn max_response(self, bytes: usize) -> Self {
        self.set(|settings| settings.max_response = bytes)
    }

    /// Bounds one attempt, from the wait for a connection to the end of the answer. Default: 10 s. An operation that
    /// takes longer is not lost: the next attempt is told that it is in flight, or gets its answer.
    pub fn attempt_timeout(self, bound: Duration) -> Self {
        self.set(|settings| settings.attempt_timeout = bound)
    }

    /// Bounds all attempts and the waits between them, and before them the time that the request's own body takes.
    /// Default: 60 s. Should be well below the server's retention, after
    /// which a key is a new one.
    pub fn total_timeout(self, bound: Duration) -> Self {
        self.set(|settings| settings.total_timeout = bound)
    }

    /// Bounds the number of attempts. Default: as many as there is time for.
    pub fn max_attempts(self, attempts: NonZeroU32) -> Self {
        self.set(|settings| settings.max_attempts = attempts.get())
    }

    /// Bounds the time that an answer can ask for by `Retry-After`. Default: 30 s. An answer that asks for more than what
    /// is left of [`total_timeout`](Self::total_timeout) is given to the caller.
    pub fn max_retry_after(self, bound: Duration) -> Self {
        self.set(|settings| settings.max_retry_after = bound)
    }

    /// Sets the waits before repeats: a random time between nothing and `base` before the first, and twice as much before
    /// each one after it, up to `most`. Default: 100 ms and 5 s.
    pub fn backoff(self, base: Duration, most: Duration) -> Self {
        self.set(|settings| settings.backoff = super::backoff::Backoff { base, most })
    }

    /// Sets the budget of repeats, which all clones share, so that many clients do not multiply the load of a server that
    /// fails. Default: [`TpsBudget`](tower::retry::budget::TpsBudget)'s own: a fifth of the operations of the last ten
    /// seconds, and ten a second.
    pub fn budget(self, budget: impl Budget + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.budget = Arc::new(budget))
    }

    /// Tells which errors of the inner client are worth another attempt. Default: all of them. An address that is not one
    /// never gets better; which error says so is known to the inner client only.
    pub fn retry_if(
        self,
        is_transient: impl Fn(&(dyn Error + 'static)) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.set(|settings| settings.is_transient = Arc::new(is_transient))
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = Client<S>;

    fn layer(&self, inner: S) -> Client<S> {
        Client::new(inner, Arc::clone(&self.settings))
    }
}
