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

use crate::client::profile::Profile;
use crate::client::service::Client;
use crate::client::settings::Settings;
use crate::record::key::IdempotencyKey;

/// Makes the requests of a client safe to retry, and retries them until a response settles them.
///
/// A POST or PATCH gets a key, unless it has one. Every attempt has the same key and the same
/// bytes. Every other request goes through untouched, once, unless it has a key. A response is
/// judged as [`Reply::disposition`](super::Reply::disposition) says, after its body was read to the
/// end. An attempt without a response, or whose response broke off, is retried too.
///
/// The history of a key counts. An attempt that ended without a response may have had an effect,
/// and a 404 after it may come from a load balancer. So from then on, only a 2xx or a replay is
/// final. A key that comes in a header or from [`key_with`](Self::key_with) is judged like this
/// from the start, because the layer does not know what was sent under it before.
///
/// The inner client must not retry requests by itself, except those that were never sent, and it
/// need not limit their time. If it follows redirects, it must say so: see
/// [`MarkRedirects`](super::MarkRedirects) for Tower and `observed_redirects` for reqwest.
///
/// ```
/// use std::time::Duration;
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use tower::{Layer, ServiceExt};
/// use tower_idempotency::client::{ClientLayer, Disposition, Reported};
///
/// # async fn pay() -> Result<(), Box<dyn std::error::Error>> {
/// let connections = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
/// let client = ClientLayer::new().total_timeout(Duration::from_secs(20)).layer(connections);
///
/// let body = Full::from(r#"{"amount":1200,"currency":"EUR","to":"acct_2"}"#);
/// let request = http::Request::post("http://127.0.0.1:3000/payments")
///     .header("content-type", "application/json")
///     .body(body)?;
/// let result = client.oneshot(request).await;
/// match result.report().map(|report| (report.disposition(), report.status())) {
///     Some((Disposition::Final, Some(status))) if status.is_success() => println!("paid"),
///     Some((Disposition::Final, _)) => println!("rejected"),
///     _ => println!("not known: {result:?}"),
/// }
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
    /// Adds keys to POST and PATCH, and retries them for up to a minute.
    pub fn new() -> Self {
        Self::default()
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// Sets what kind of server it is: the header and the form of keys, the methods that get one,
    /// and the responses that the server does not store. Default: [`Profile::Default`]. Setters of
    /// single values that come after it still count.
    ///
    /// If the server rejects the key as it is sent, the result is an error of the kind
    /// [`KeyNotUnderstood`](super::ErrorKind::KeyNotUnderstood).
    pub fn profile(self, profile: Profile) -> Self {
        self.set(|settings| {
            settings.profile = profile;
            settings.header = profile.header();
            settings.is_quoted = profile.is_quoted();
            settings.methods = profile.methods();
        })
    }

    /// Sets the header for keys that the layer adds. Default: that of the profile. A key that a
    /// request has in this header, in `X-Idempotency-Key` or in `Idempotency-Key` is used as it is.
    pub fn header(self, header: HeaderName) -> Self {
        self.set(|settings| settings.header = header)
    }

    /// Sends keys as RFC 9651 Strings, in quotes, as the IETF draft has them. Default: that of the
    /// profile. Keys that a request has already stay as they are.
    pub fn structured_field(self) -> Self {
        self.set(|settings| settings.is_quoted = true)
    }

    /// Sets the methods that get a key. Default: those of the profile.
    pub fn methods(self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.set(|settings| settings.methods = methods.into_iter().collect())
    }

    /// Makes keys by a function, for example with [`derive_key`](super::derive_key). It is called
    /// once for an operation, not for each attempt. Default: a UUID of version 7.
    ///
    /// A key that is not fresh may have been sent before, so such an operation is in doubt from the
    /// start: a 4xx is final only if it is a replay.
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
        self.set(|settings| settings.make_key = Some(Arc::new(make)))
    }

    /// Sets how long the server remembers a key. Default: 24 h, the default of this crate's server
    /// side and Stripe's shortest. It is checked before every attempt, by the wall clock: an
    /// attempt that would come later is not made. An [`Operation`](super::Operation) has the
    /// retention of its [`Operations`](super::Operations).
    pub fn retention(self, retention: Duration) -> Self {
        self.set(|settings| settings.retention = retention)
    }

    /// Sets the largest request body under a key, in bytes. The layer stores it until the operation
    /// is settled. A larger one is an error, and is not sent. Default: 1 MiB.
    pub fn max_request(self, bytes: usize) -> Self {
        self.set(|settings| settings.max_request = bytes)
    }

    /// Sets the largest response body that is read to its end before the response is judged, in
    /// bytes. A larger one, or a stream of events, is handed on as it comes, and is not retried if
    /// it is cut off. Default: 1 MiB.
    pub fn max_response(self, bytes: usize) -> Self {
        self.set(|settings| settings.max_response = bytes)
    }

    /// Limits how long an attempt may make no progress. Default: 10 s. The time starts anew with
    /// the head of the response and with each piece of its body. Uploads cannot be observed, so the
    /// first stretch is longer by the time that the request body takes at 16 KiB/s.
    ///
    /// An operation that takes longer is not lost: the next attempt finds it in flight, or gets its
    /// response.
    pub fn attempt_timeout(self, bound: Duration) -> Self {
        self.set(|settings| settings.attempt_timeout = bound)
    }

    /// Limits all attempts and the waits between them, and before them the time that the request's
    /// own body takes. Default: 60 s.
    pub fn total_timeout(self, bound: Duration) -> Self {
        self.set(|settings| settings.total_timeout = bound)
    }

    /// Limits the number of attempts. Default: as many as there is time for.
    pub fn max_attempts(self, attempts: NonZeroU32) -> Self {
        self.set(|settings| settings.max_attempts = attempts.get())
    }

    /// Limits the wait that a response can ask for by `Retry-After`. Default: 30 s. A response that
    /// asks for more than what is left of [`total_timeout`](Self::total_timeout) is given to the
    /// caller at once.
    pub fn max_retry_after(self, bound: Duration) -> Self {
        self.set(|settings| settings.max_retry_after = bound)
    }

    /// Sets the waits before retries: a random time between nothing and `base` before the first,
    /// and twice as much before each one after it, up to `most`. Default: 100 ms and 5 s. A longer
    /// `Retry-After` replaces the wait; a shorter one changes nothing.
    pub fn backoff(self, base: Duration, most: Duration) -> Self {
        self.set(|settings| settings.backoff = super::backoff::Backoff { base, most })
    }

    /// Sets the budget of retries, which all clones share, so that many clients do not multiply the
    /// load of a server that fails. Default: that of
    /// [`TpsBudget`](tower::retry::budget::TpsBudget), which is a fifth of the operations of the
    /// last ten seconds, and ten a second.
    pub fn budget(self, budget: impl Budget + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.budget = Arc::new(budget))
    }

    /// Tells which errors of the inner client are worth another attempt. Default: all of them. A
    /// malformed address is a permanent error, but only the inner client knows which error says so.
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
