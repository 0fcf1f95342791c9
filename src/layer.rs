//! [`IdempotencyLayer`]: how the layer is made and set up.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, Method, Response, response};
use tower_layer::Layer;

use crate::config::{Class, Config, InFlight, LONGEST_WAIT, OnAbandoned, OnFailed, OnOutage};
use crate::key::Scope;
use crate::rejection::Rejection;
use crate::service::Idempotency;
use crate::shared::Shared;
use crate::store::Store;

/// Makes the operations behind it safe to retry.
///
/// Set it up by setters, each of which takes a valid value: nothing can fail later. A clone, and each service made of
/// it, shares the store.
///
/// ```
/// use std::time::Duration;
/// use tower_idempotency::{IdempotencyLayer, InFlight, MemoryStore, Scope};
///
/// let layer = IdempotencyLayer::new(MemoryStore::new())
///     .namespace("payments")
///     .scope(|parts| match parts.headers.get("authorization") {
///         Some(credential) => Scope::new(credential),
///         None => Scope::anonymous(),
///     })
///     .retention(Duration::from_hours(7 * 24))
///     .in_flight(InFlight::Wait(Duration::from_secs(5)))
///     .require_key();
/// ```
pub struct IdempotencyLayer<St> {
    pub(crate) config: Arc<Config>,
    pub(crate) shared: Arc<Shared<St>>,
}

impl<St: Store> IdempotencyLayer<St> {
    /// Guards POST and PATCH requests that carry a key, with records in `store`.
    pub fn new(store: St) -> Self {
        Self { config: Arc::default(), shared: Arc::new(Shared::new(store)) }
    }

    fn set(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// Sets the one header that carries the key. Default: `X-Idempotency-Key`, with `Idempotency-Key` as a second
    /// name; this setter takes the second name away.
    ///
    /// ```
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// use http::HeaderName;
    ///
    /// let layer = IdempotencyLayer::new(MemoryStore::new())
    ///     .header(HeaderName::from_static("idempotency-key"));
    /// ```
    #[must_use]
    pub fn header(self, name: HeaderName) -> Self {
        self.set(|config| {
            config.header = name;
            config.second_header = None;
        })
    }

    /// Takes RFC 9651 Strings (`"abc"`) only. Default: a bare value is a key too, and the same one.
    #[cfg(feature = "strict-keys")]
    #[must_use]
    pub fn strict_keys(self) -> Self {
        self.set(|config| config.parse_key = crate::key::IdempotencyKey::parse_strict)
    }

    /// Answers 400 to a guarded request without a key. Default: it passes through unguarded.
    #[must_use]
    pub fn require_key(self) -> Self {
        self.set(|config| config.require_key = true)
    }

    /// Sets which methods are guarded; all others pass through untouched. Default: POST and PATCH.
    ///
    /// ```
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// use http::Method;
    ///
    /// let layer = IdempotencyLayer::new(MemoryStore::new()).methods([Method::POST, Method::PUT]);
    /// ```
    #[must_use]
    pub fn methods(self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.set(|config| config.methods = methods.into_iter().collect())
    }

    /// Sets whose key it is, from the head of the request. Default: all callers share one scope, and a warning is
    /// logged once, for any of them could replay the answers of another whose key it guesses.
    ///
    /// Authenticate outside of this layer, so that what the function reads was checked: an extension that the
    /// authentication set, or a credential which it verified.
    ///
    /// ```
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// use tower_idempotency::Scope;
    ///
    /// #[derive(Clone)]
    /// struct Account(u64);
    ///
    /// let layer = IdempotencyLayer::new(MemoryStore::new()).scope(|parts| {
    ///     match parts.extensions.get::<Account>() {
    ///         Some(Account(id)) => Scope::new(id.to_be_bytes()),
    ///         None => Scope::anonymous(),
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn scope(self, scope: impl Fn(&Parts) -> Scope + Send + Sync + 'static) -> Self {
        self.set(|config| config.scope = Some(Arc::new(scope)))
    }

    /// Sets a name that keeps the keys of this layer apart from those of other services in the same store.
    /// Default: empty.
    #[must_use]
    pub fn namespace(self, namespace: impl Into<String>) -> Self {
        self.set(|config| config.namespace = namespace.into())
    }

    /// Makes the digests of keys depend on a secret, so that somebody who reads the store cannot try out guesses of keys and scopes; fingerprints stay plain digests.
    /// Default: plain digests. A store whose secret changes knows none of its records any more.
    #[must_use]
    pub fn secret(self, secret: [u8; 32]) -> Self {
        self.set(|config| config.secret = Some(secret))
    }

    /// Sets headers that are part of what the request is, beside its content type: an `Accept` that chooses between
    /// two answers, say. Default: none.
    #[must_use]
    pub fn fingerprint_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.set(|config| config.fingerprint_headers = names.into_iter().collect())
    }

    /// Sets the largest request body in bytes; above it the answer is 413. Default: 1 MiB.
    #[must_use]
    pub fn max_request(self, bytes: usize) -> Self {
        self.set(|config| config.max_request = bytes)
    }

    /// Sets the largest answer in bytes whose body is kept. A larger one goes to the client unchanged, and a repeat
    /// gets 409. Default: 1 MiB.
    #[must_use]
    pub fn max_response(self, bytes: usize) -> Self {
        self.set(|config| config.max_response = bytes)
    }

    /// Sets how long an attempt is taken to be alive without a sign of life. It is renewed at each third while the
    /// handler runs, so a handler may take any time, as long as it does not block the runtime's threads; a crash is noticed
    /// when it lapses. Default: 10 s. No less than 3 ms, no more than a year.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        self.set(|config| config.lease = lease.clamp(Duration::from_millis(3), LONGEST_WAIT))
    }

    /// Sets how long an answer is kept after it was given. Default: 24 h. No less than 1 ms.
    #[must_use]
    pub fn retention(self, retention: Duration) -> Self {
        self.set(|config| config.retention = retention.max(Duration::from_millis(1)))
    }

    /// Sets how long each operation of the store may take. A reservation that takes longer is answered 503; an answer
    /// whose write takes longer goes to the client, and is written again in the background. Default: 2 s.
    #[must_use]
    pub fn store_timeout(self, bound: Duration) -> Self {
        self.set(|config| config.store_timeout = bound)
    }

    /// Sets what a request gets whose key is in flight. Default: [`InFlight::Reject`].
    #[must_use]
    pub fn in_flight(self, policy: InFlight) -> Self {
        self.set(|config| config.in_flight = policy)
    }

    /// Sets what a request gets whose key stands for a failed attempt. Default: [`OnFailed::Rerun`].
    #[must_use]
    pub fn on_failed(self, policy: OnFailed) -> Self {
        self.set(|config| config.on_failed = policy)
    }

    /// Sets what a request gets whose key stands for an attempt that was cut off. Default: [`OnAbandoned::Rerun`].
    #[must_use]
    pub fn on_abandoned(self, policy: OnAbandoned) -> Self {
        self.set(|config| config.on_abandoned = policy)
    }

    /// Sets what a request gets that comes while the store is down. Default: [`OnOutage::Closed`].
    #[must_use]
    pub fn on_outage(self, policy: OnOutage) -> Self {
        self.set(|config| config.on_outage = policy)
    }

    /// Sets how many times the handler is called again when another transaction was in the way of its own (a serialization
    /// failure, a deadlock), each time in a new transaction. Transaction mode only. Default: 0, and the client gets 409
    /// with `Retry-After`.
    ///
    /// The request is copied for it, its extensions included.
    #[must_use]
    pub fn retry_conflicts(self, times: u32) -> Self {
        self.set(|config| config.retry_conflicts = times)
    }

    /// Sets what `Retry-After` says on a 409 in flight and on a 503, in whole seconds. Default: 1 s.
    #[must_use]
    pub fn retry_after(self, after: Duration) -> Self {
        self.set(|config| config.retry_after = after)
    }

    /// Replaces the rule that says which answers are definitive. Default: [`Class::of`] the status.
    ///
    /// ```
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// use tower_idempotency::Class;
    ///
    /// // A card that was declined may be tried again under the same key.
    /// let layer = IdempotencyLayer::new(MemoryStore::new()).classifier(|response| {
    ///     match response.status.as_u16() {
    ///         402 => Class::Forget,
    ///         _ => Class::of(response.status),
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn classifier(self, classifier: impl Fn(&response::Parts) -> Class + Send + Sync + 'static) -> Self {
        self.set(|config| config.classifier = Arc::new(classifier))
    }

    /// Replaces how refusals look. Status, `Retry-After`, `X-Should-Retry` and `Location` are set after it, for
    /// clients act on them. Default: [`Rejection::render`].
    ///
    /// ```
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// use bytes::Bytes;
    /// use http::Response;
    ///
    /// let layer = IdempotencyLayer::new(MemoryStore::new())
    ///     .renderer(|rejection| Response::new(Bytes::from(rejection.code())));
    /// ```
    #[must_use]
    pub fn renderer(self, renderer: impl Fn(&Rejection) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        self.set(|config| config.renderer = Arc::new(renderer))
    }

    /// Adds `X-Idempotent-Result: false` to first answers. Default: only replays are marked.
    #[must_use]
    pub fn mark_first(self) -> Self {
        self.set(|config| config.mark_first = true)
    }
}

impl<St> Clone for IdempotencyLayer<St> {
    fn clone(&self) -> Self {
        Self { config: Arc::clone(&self.config), shared: Arc::clone(&self.shared) }
    }
}

impl<St> fmt::Debug for IdempotencyLayer<St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IdempotencyLayer").field(&self.config).finish()
    }
}

impl<S, St: Store> Layer<S> for IdempotencyLayer<St> {
    type Service = Idempotency<S, St>;

    fn layer(&self, inner: S) -> Self::Service {
        // A router lays the layer around each of its routes; one warning will do.
        if self.config.scope.is_none() && !self.config.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "no scope is set: all callers share their idempotency keys, and each can replay the answers of another"
            );
        }
        Idempotency::new(inner, Arc::clone(&self.config), Arc::clone(&self.shared))
    }
}
