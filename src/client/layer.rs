//! [`ClientLayer`]: its constructor and its setters.

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

/// A Tower layer that makes the requests of a client safe to retry, and retries them until a
/// response settles them.
///
/// A POST or PATCH gets a key, unless it has one. Every attempt has the same key and the same
/// bytes. Any other request without a key passes through untouched, once.
///
/// The layer reads a response to its end, and judges it by
/// [`Reply::disposition`](super::Reply::disposition). It also retries an attempt without a
/// response, or with a response that broke off.
///
/// The history of a key counts. An attempt that ended without a response may have had an effect,
/// and a later 404 may come from a load balancer. So from then on, only a 2xx or a replay is final.
/// The same rule applies from the start to a key in a header or from [`key_with`](Self::key_with).
/// The layer does not know whether such a key was sent before.
///
/// The inner client must not retry requests, except those that were never sent. It does not have to
/// limit their time. If it follows redirects, it must mark them: see
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
/// Clones share the budget of retries.
#[derive(Debug, Clone, Default)]
#[must_use = "a layer does nothing until it is put around a client"]
pub struct ClientLayer {
    pub(crate) settings: Arc<Settings>,
}

impl ClientLayer {
    /// Makes a layer that adds keys to POST and PATCH requests, and retries them for up to a
    /// minute.
    pub fn new() -> Self {
        Self::default()
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// Sets the kind of the server: the header and the form of keys, the methods that get one, and
    /// the responses that the server does not store. Default: [`Profile::Default`].
    ///
    /// Setters of single values that come after it still count.
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

    /// Sets the header for keys that the layer adds. Default: that of the profile.
    ///
    /// If a request has a key in this header, in `X-Idempotency-Key` or in `Idempotency-Key`, the
    /// layer uses that key unchanged.
    pub fn header(self, header: HeaderName) -> Self {
        self.set(|settings| settings.header = header)
    }

    /// Sends keys as RFC 9651 Strings, in quotes, as the IETF draft asks. Default: the form of the
    /// profile.
    ///
    /// The layer does not change a key that a request already has.
    pub fn structured_field(self) -> Self {
        self.set(|settings| settings.is_quoted = true)
    }

    /// Sets the methods that get a key. Default: those of the profile.
    pub fn methods(self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.set(|settings| settings.methods = methods.into_iter().collect())
    }

    /// Sets the function that makes keys, for example with [`derive_key`](super::derive_key).
    /// Default: a UUID of version 7.
    ///
    /// The layer calls it once for each operation, not for each attempt.
    ///
    /// A key from this function may have been sent before. So the operation is in doubt from the
    /// start, and a 4xx is final only if it is a replay.
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
    pub fn key_with(
        self,
        make: impl Fn(&Parts, &Bytes) -> IdempotencyKey + Send + Sync + 'static,
    ) -> Self {
        self.set(|settings| settings.make_key = Some(Arc::new(make)))
    }

    /// Sets how long the server remembers a key. Default: 24 h, the default of this crate's server
    /// side and the shortest of Stripe.
    ///
    /// The layer checks the age of the key before every attempt, by the wall clock. It does not
    /// make an attempt after the retention. An [`Operation`](super::Operation) has the retention of
    /// its [`Operations`](super::Operations).
    pub fn retention(self, retention: Duration) -> Self {
        self.set(|settings| settings.retention = retention)
    }

    /// Sets the largest request body under a key, in bytes. Default: 1 MiB.
    ///
    /// The layer stores the body in memory until the operation is settled. A larger body is an
    /// error, and the request is not sent.
    pub fn max_request(self, bytes: usize) -> Self {
        self.set(|settings| settings.max_request = bytes)
    }

    /// Sets the largest response body, in bytes, that the layer reads to its end before it judges
    /// the response. Default: 1 MiB.
    ///
    /// A larger body, or a stream of events, goes to the caller as it comes. It is not retried if
    /// it is cut off.
    pub fn max_response(self, bytes: usize) -> Self {
        self.set(|settings| settings.max_response = bytes)
    }

    /// Limits how long an attempt may make no progress. Default: 10 s.
    ///
    /// The time starts again with the head of the response and with each part of its body. An
    /// upload cannot be observed, so the first period is longer by the time of the request body at
    /// 16 KiB/s.
    ///
    /// An operation that takes longer is not lost. The next attempt finds it in flight, or gets its
    /// response.
    pub fn attempt_timeout(self, bound: Duration) -> Self {
        self.set(|settings| settings.attempt_timeout = bound)
    }

    /// Limits the time of all attempts with the waits between them. Default: 60 s.
    ///
    /// Before the first attempt, the same limit applies to reading the request body.
    pub fn total_timeout(self, bound: Duration) -> Self {
        self.set(|settings| settings.total_timeout = bound)
    }

    /// Limits the number of attempts. Default: no limit except
    /// [`total_timeout`](Self::total_timeout).
    pub fn max_attempts(self, attempts: NonZeroU32) -> Self {
        self.set(|settings| settings.max_attempts = attempts.get())
    }

    /// Limits the wait that a response can ask for by `Retry-After`. Default: 30 s.
    ///
    /// If a response asks for more than the rest of [`total_timeout`](Self::total_timeout), the
    /// caller gets it at once.
    pub fn max_retry_after(self, bound: Duration) -> Self {
        self.set(|settings| settings.max_retry_after = bound)
    }

    /// Sets the waits before retries. Default: 100 ms and 5 s.
    ///
    /// The wait before the first retry is random, from zero to `base`. The range doubles before
    /// each later retry, up to `most`. A longer `Retry-After` replaces the wait, and a shorter one
    /// has no effect.
    pub fn backoff(self, base: Duration, most: Duration) -> Self {
        self.set(|settings| settings.backoff = super::backoff::Backoff { base, most })
    }

    /// Sets the budget of retries, which all clones share. Default: that of
    /// [`TpsBudget`](tower::retry::budget::TpsBudget), which is a fifth of the operations of the
    /// last ten seconds, and ten in each second.
    ///
    /// A budget prevents that many clients multiply the load of a server that fails.
    pub fn budget(self, budget: impl Budget + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.budget = Arc::new(budget))
    }

    /// Sets the function that decides which errors of the inner client are retried. Default: all
    /// errors.
    ///
    /// A malformed address is a permanent error, for example, but only the inner client knows which
    /// error says so.
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
