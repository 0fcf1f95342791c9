//! What is kept of answers, and how the layer's own look.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Response, response};

use super::IdempotencyLayer;
use crate::http::class::ResponseClass;
use crate::http::rejection::Rejection;
use crate::http::response::StoredResponse;
use crate::store::Store;
#[cfg(feature = "encryption")]
use crate::store::pack::EncryptionKeys;

impl<St: Store> IdempotencyLayer<St> {
    /// Sets the largest answer in bytes whose body is kept. A larger one goes to the client unchanged, and a repeat
    /// gets 409. Default: 1 MiB.
    #[must_use]
    pub fn max_response(self, bytes: usize) -> Self {
        self.set(|config| config.max_response = bytes)
    }

    /// Sets how long the layer waits for the end of a response body before it stores the response
    /// without it. Default: 10 s.
    ///
    /// The client gets the response after the layer has read the body. So a retry finds it stored.
    /// After this time the response goes to the client as it comes, the record says that it was not
    /// retained, and a retry gets 409.
    ///
    /// Raise it where a body takes longer than that to produce. Lower it where a body that stalls
    /// must not hold up the client, the key and [`shutdown`](Self::shutdown) for so long.
    #[must_use]
    pub fn capture_timeout(self, bound: Duration) -> Self {
        self.set(|config| config.capture_timeout = bound)
    }

    /// Replaces the rule that says which responses are definitive. Default: [`ResponseClass::of_head`].
    ///
    /// The closure decides about every response of the handler that is not a rejection of this crate.
    /// [`ResponseClass::of_head`] keeps the default for the rest, a 409 that says "ask again" included.
    /// [`ResponseClass::of`] is the default for a status without its headers.
    ///
    /// ```
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// use tower_idempotency::ResponseClass;
    ///
    /// // After a first attempt that was declined, the client may try another card under the same
    /// // key. While the operation is in doubt, another request is a mismatch.
    /// let layer = IdempotencyLayer::new(MemoryStore::new()).classify(|head| {
    ///     match head.status.as_u16() {
    ///         402 => ResponseClass::Discard,
    ///         _ => ResponseClass::of_head(head),
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn classify(
        self,
        classify: impl Fn(&response::Parts) -> ResponseClass + Send + Sync + 'static,
    ) -> Self {
        self.set(|config| config.classify = Arc::new(classify))
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
    ///     .rejection_response(|rejection| Response::new(Bytes::from(rejection.code())));
    /// ```
    #[must_use]
    pub fn rejection_response(
        self,
        rejection_response: impl Fn(&Rejection) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        self.set(|config| config.rejection_response = Arc::new(rejection_response))
    }

    /// Sets how much of an answer is kept. Default: [`StoredResponse::Full`]. A handler can say otherwise for one answer by a
    /// [`ResponseDirective`](crate::ResponseDirective).
    ///
    /// ```
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// use http::header;
    /// use tower_idempotency::StoredResponse;
    ///
    /// // The answer holds a card number. A repeat learns that the card was made, and where it is.
    /// let layer = IdempotencyLayer::new(MemoryStore::new())
    ///     .stored_response(StoredResponse::Status)
    ///     .store_headers([header::LOCATION]);
    /// ```
    ///
    /// [`execute`](Self::execute) has no use for a status: with less than [`StoredResponse::Full`] it keeps nothing of a result, and a repeat
    /// is refused.
    #[must_use]
    pub fn stored_response(self, keep: StoredResponse) -> Self {
        self.set(|config| config.stored.level = keep)
    }

    /// Stores and replays these headers also. Default: none. [`StoredResponse::Status`] stores few headers at
    /// all, and this list adds to them. By default these headers are not stored:
    ///
    /// - `Set-Cookie`, `Set-Cookie2`, `Date`, `Age`, `Server`, `Alt-Svc` and `Clear-Site-Data`
    /// - `WWW-Authenticate`, `Authorization`, `Proxy-Authorization`, `Authentication-Info` and
    ///   `Proxy-Authentication-Info`
    /// - `DPoP-Nonce`, `Replay-Nonce`, `X-CSRF-Token`, `X-XSRF-Token`, `X-Auth-Token`, `X-Access-Token`,
    ///   `X-Refresh-Token` and `X-Session-Token`
    ///
    /// A name here also leaves `Cache-Control`, `Expires`, `Pragma`, `CDN-Cache-Control` and
    /// `Surrogate-Control` of a replay as they were stored. Otherwise a replay has
    /// `Cache-Control: no-store` in their place: see
    /// [`what_is_kept`](crate::guide::what_is_kept#caches).
    ///
    /// No list adds headers that frame a message or belong to one connection (RFC 9110, section 7.6.1), or
    /// `X-Should-Retry`. A trailer is never added.
    #[must_use]
    pub fn store_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.set(|config| config.stored.also.extend(names))
    }

    /// Stores these headers and no others, except those of [`store_headers`](Self::store_headers).
    /// Default: all that may be stored. With less than [`StoredResponse::Full`] this list adds none: of the few
    /// headers that are stored then, it selects.
    ///
    /// A cookie, a credential or a cache header that is named here is stored and replayed as it is. A
    /// cache header also turns the `no-store` of replays off, as in `store_headers`.
    #[must_use]
    pub fn store_only_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.set(|config| config.stored.only = Some(names.into_iter().collect()))
    }

    /// Stores none of these headers, nor trailers of these names, whatever other lists say. Default: none.
    #[must_use]
    pub fn exclude_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.set(|config| config.stored.never.extend(names))
    }

    /// Encrypts answers before they go to the store. Default: they go as they are. See [`EncryptionKeys`] for what
    /// is encrypted, and how keys are changed.
    ///
    /// ```
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// use tower_idempotency::EncryptionKeys;
    ///
    /// # let (key, secret) = ([7; 32], [8; 32]);
    /// let layer = IdempotencyLayer::new(MemoryStore::new())
    ///     .encrypt(EncryptionKeys::new(1, key))
    ///     .secret(secret);
    /// ```
    #[cfg(feature = "encryption")]
    #[must_use]
    pub fn encrypt(self, keys: EncryptionKeys) -> Self {
        self.set(|config| config.packing.encryption = Some(keys))
    }

    /// Compresses (deflate) the bodies of answers of more than this many bytes before they go to the store, where that makes
    /// them smaller. Default: they go as they are. A kilobyte is a good bound.
    ///
    /// A record whose body says that it would become larger than [`max_response`](Self::max_response) is not
    /// decompressed; its request is refused as one whose answer was not kept. Together with encryption, the length of what is
    /// stored tells how well the answer compresses: do not use both for an answer that holds a secret beside what
    /// an attacker can choose.
    #[cfg(feature = "compression")]
    #[must_use]
    pub fn compress_above(self, bytes: usize) -> Self {
        self.set(|config| config.packing.compress_above = Some(bytes))
    }

    /// Marks replays by this header too, with the value `true`, beside `X-Idempotent-Result`. Default: none.
    #[must_use]
    pub fn replay_marker(self, name: HeaderName) -> Self {
        self.set(|config| config.replay_marker = Some(name))
    }

    /// Adds `X-Idempotent-Result: false` to first answers. Default: only replays are marked.
    #[must_use]
    pub fn mark_original(self) -> Self {
        self.set(|config| config.mark_original = true)
    }
}
