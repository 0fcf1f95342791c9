//! [`IdempotencyLayer`]: its constructor and its setters.

use std::fmt;
use std::sync::Arc;

use http::Method;
use http::request::Parts;
use tower_layer::Layer;

use crate::flow::shared::Shared;
use crate::flow::telemetry;
use crate::layer::service::Idempotency;
use crate::record::key::IntoScope;
use crate::record::secret::SecretKey;
use crate::settings::Config;
use crate::settings::least::SwitchedOff;
use crate::settings::warned::Warning;
use crate::store::Store;

mod fingerprint;
pub(crate) mod future;
mod keys;
mod limits;
mod operators;
mod policies;
mod profiles;
#[cfg(feature = "quota")]
mod quota;
mod responses;
pub(crate) mod service;
#[cfg(feature = "serde")]
mod settings;

/// A Tower layer that makes the operations behind it safe to retry.
///
/// [`body_timeout`](Self::body_timeout) describes its position among other layers.
///
/// No setter can fail. A value that switches a part of the layer off, such as an empty list of
/// [`methods`](Self::methods), is logged as a warning once, when the layer is first used.
/// [`check`](Self::check) has it under `values`, and a file cannot have it.
///
/// All clones of a layer, and all services that they make, share the store.
///
/// ```
/// use std::time::Duration;
/// use tower_idempotency::{IdempotencyLayer, InFlight, MemoryStore, Scope};
///
/// /// The authentication outside of the layer inserts it into the extensions of the request.
/// #[derive(Clone)]
/// struct Account(u64);
///
/// let layer = IdempotencyLayer::new(MemoryStore::new())
///     .namespace("payments")
///     .scope(|parts| {
///         let Account(id) = parts.extensions.get()?;
///         Some(Scope::new(id.to_be_bytes()))
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
    /// Makes a layer that guards POST and PATCH requests with a key, and stores its records in
    /// `store`.
    ///
    /// With the feature `metrics` it also describes its counters. A recorder that is installed
    /// later counts as well, but has no descriptions.
    pub fn new(store: St) -> Self {
        telemetry::describe();
        Self { config: Arc::default(), shared: Arc::new(Shared::new(store)) }
    }

    fn set(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// Passes the timeout to the store, and logs what the settings switch off.
    pub(crate) fn prepare_store(&self) {
        let config = &self.config;
        self.shared.store.set_timeout(config.store_timeout);
        for off in config.switched_off().filter(|off| config.warned.is_first_value(off)) {
            let SwitchedOff { setting, effect, .. } = off;
            tracing::warn!(
                "a setting switches a part of the layer off: `{setting}` {effect}; set another \
                 value by `IdempotencyLayer::{setting}`"
            );
        }
        if config.namespace.is_empty()
            && self.shared.store.is_shared()
            && config.warned.is_first(Warning::NoNamespace)
        {
            tracing::warn!(
                "no namespace is set and the store is shared: another service on this store can \
                 replay the responses of this one; set `IdempotencyLayer::namespace`"
            );
        }
    }

    /// Sets the methods that are guarded. Default: POST and PATCH.
    ///
    /// Requests with another method pass through untouched, and a key on them has no effect. The
    /// layer and its clones log such a key once for each method. All methods that RFC 9110 and RFC
    /// 5789 do not define count as one.
    ///
    /// An empty list switches the layer off: no request is guarded. The layer logs a warning.
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

    /// Sets the function that reads the owner of a key, its scope, from the head of the request.
    /// Default: all callers share one scope.
    ///
    /// Without a scope, a caller that guesses the key of another caller gets its response. The
    /// layer logs a warning about this once.
    ///
    /// Authenticate outside of this layer. Read the account that the authentication inserted into
    /// the extensions. The function returns a [`Scope`](crate::Scope), an `Option` or a `Result`. If it returns
    /// `None` or an error, the layer rejects the request with 401
    /// ([`Rejection::ScopeMissing`](crate::Rejection::ScopeMissing)), and the handler does not run.
    /// A 401 to a client that has authenticated means that this layer is outside of the
    /// authentication: the layer logs a warning at the first one.
    ///
    /// Return [`Scope::anonymous`](crate::Scope::anonymous) only on purpose. The layer logs a warning if the first hundred
    /// callers are all anonymous.
    ///
    /// Do not read the credential: a refreshed token would make a retry a new operation, and so a
    /// second payment. The credential is also a secret.
    ///
    /// Set it before the first request. After a change, the first setting included, no live record
    /// is found and each retry is a new operation: see
    /// [`threat_model`](crate::guide::threat_model#a-change-of-scope-namespace-or-secret).
    ///
    /// ```
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// use tower_idempotency::Scope;
    ///
    /// #[derive(Clone)]
    /// struct Account(u64);
    ///
    /// // A request without an account gets 401.
    /// let layer = IdempotencyLayer::new(MemoryStore::new()).scope(|parts| {
    ///     let Account(id) = parts.extensions.get()?;
    ///     Some(Scope::new(id.to_be_bytes()))
    /// });
    /// ```
    #[must_use]
    pub fn scope<F, S>(self, scope: F) -> Self
    where
        F: Fn(&Parts) -> S + Send + Sync + 'static,
        S: IntoScope,
    {
        self.set(|config| config.scope = Some(Arc::new(move |parts| scope(parts).into_scope())))
    }

    /// Adds the host of the request to the scope, in lower case. Default: the host does not count.
    ///
    /// The host is the authority of the target (absolute form, HTTP/2) and the `Host` header. A
    /// request in which the two differ has a scope of its own, because an application may read
    /// either.
    ///
    /// Use it where one service has a host for each tenant, and two tenants can have the same user
    /// id. Without it, user 7 of one tenant gets the response of user 7 of another under the same
    /// key. A scope that contains the tenant does the same and depends on no header.
    ///
    /// A proxy must forward the host of the client. If it sends its own host, all hosts are one. If
    /// it sends a host for each backend, a retry is a new operation, and so a second payment.
    ///
    /// The client chooses the host. Reject unknown hosts outside of this layer. Otherwise a caller
    /// gets a share of the store and a quota for each host that it invents. For shares and quotas,
    /// ports and trailing dots do not count, and requests that name several hosts count together.
    ///
    /// To [`inspect`](Self::inspect) a key, name the host by
    /// [`Scope::on_host`](crate::Scope::on_host).
    ///
    /// ```
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore, Scope};
    /// #[derive(Clone)]
    /// struct User(u64);
    ///
    /// let layer = IdempotencyLayer::new(MemoryStore::new())
    ///     .scope(|parts| {
    ///         let User(id) = parts.extensions.get()?;
    ///         Some(Scope::new(id.to_be_bytes()))
    ///     })
    ///     .host_in_scope();
    /// ```
    #[must_use]
    pub fn host_in_scope(self) -> Self {
        self.set(|config| config.host_in_scope = true)
    }

    /// Sets a name that separates the keys of this layer from the keys of other layers in the
    /// same store. Default: empty.
    ///
    /// Set one wherever the store is shared. Without it, a second service on the same store replays
    /// the responses of this one under equal keys and scopes. A layer without a namespace on such a
    /// store logs one warning.
    ///
    /// Clones of a layer share the key space, so a key from one route is a mismatch on another.
    /// Give each route its own namespace.
    ///
    /// Set it before the first request. After a change, the first setting included, no live record
    /// is found and each retry is a new operation: see
    /// [`threat_model`](crate::guide::threat_model#a-change-of-scope-namespace-or-secret).
    #[must_use]
    pub fn namespace(self, namespace: impl Into<String>) -> Self {
        self.set(|config| config.namespace = namespace.into())
    }

    /// Makes the digests of keys and the fingerprints of requests depend on a secret. Default:
    /// plain digests.
    ///
    /// Use it where others can read the store. Without the secret, a reader cannot test guesses of
    /// keys, scopes and bodies. Take 32 random bytes: the layer logs a warning if all are zero.
    ///
    /// Set it before the first request. After a change, the first setting included, no live record
    /// is found and each retry is a new operation. Reject requests until the retention has passed,
    /// or use a new service: see
    /// [`threat_model`](crate::guide::threat_model#a-change-of-scope-namespace-or-secret).
    ///
    /// The digests are keyed BLAKE3, a message authentication code like HMAC. The key for
    /// fingerprints is derived from the secret and has no other use. A
    /// [`Fingerprint`](crate::Fingerprint) that the application makes for
    /// [`execute`](Self::execute) does not depend on the secret.
    ///
    /// [`Attempt::downstream_key`](crate::Attempt::downstream_key) depends on the secret too. After
    /// a change of the secret, a retry has another downstream key, and the provider charges again.
    #[must_use]
    pub fn secret(self, secret: [u8; 32]) -> Self {
        self.set(|config| {
            let secret = SecretKey::new(secret);
            config.fingerprinting.set_secret(&secret);
            config.downstream =
                Some(Arc::new(secret.derive("tower-idempotency 2026 downstream keys 1")));
            config.secret = Some(Arc::new(secret));
        })
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
        // A router applies the layer to each of its routes, and one warning is enough.
        if self.config.scope.is_none() && self.config.warned.is_first(Warning::NoScope) {
            tracing::warn!(
                "no scope is set: all callers share their idempotency keys, and each can replay \
                 the responses of another; set `IdempotencyLayer::scope`"
            );
            if self.config.new_keys.is_some() {
                tracing::warn!(
                    "no scope is set: `new_keys_per_minute` has no effect, because all callers are \
                     one; set `IdempotencyLayer::scope`"
                );
            }
        }
        self.prepare_store();
        Idempotency::new(inner, Arc::clone(&self.config), Arc::clone(&self.shared))
    }
}
