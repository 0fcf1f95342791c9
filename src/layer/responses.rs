//! Settings of responses: which ones are stored, which parts of them, and how rejections look.

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
    /// Sets the largest response body in bytes that is stored. Default: 1 MiB.
    ///
    /// A larger response goes to the client unchanged, and a retry gets 409. So at 0 no response
    /// with a body is stored, and the layer logs a warning. To store no bodies on purpose, use
    /// [`stored_response`](Self::stored_response).
    #[must_use]
    pub fn max_response(self, bytes: usize) -> Self {
        self.set(|config| config.max_response = bytes)
    }

    /// Sets how long the layer waits for the end of a response body before it stores the response
    /// without it. Default: 10 s.
    ///
    /// The layer reads the body before it sends the response, so that a retry finds it stored.
    /// After this time it sends the response as it comes, and its record says that it was not
    /// retained. A retry then gets 409.
    ///
    /// Raise it where a body takes longer to produce. Lower it where a body that stalls must not
    /// delay the client, the key and [`shutdown`](Self::shutdown) for so long.
    ///
    /// Zero is not "no limit": a body that is not there at once is not stored. Below 10 ms the layer
    /// logs a warning.
    #[must_use]
    pub fn capture_timeout(self, bound: Duration) -> Self {
        self.set(|config| config.capture_timeout = bound)
    }

    /// Replaces the rule that decides which responses are definitive. Default:
    /// [`ResponseClass::of_head`].
    ///
    /// The closure gets every response of the handler that is not a rejection of this crate. Call
    /// [`ResponseClass::of_head`] in it for the default, which reads the headers of a 409 that says
    /// "ask again" too. [`ResponseClass::of`] is the default for a status without its headers.
    ///
    /// ```
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// use tower_idempotency::ResponseClass;
    ///
    /// // If the first attempt is declined, the client may try another card under the same key.
    /// // While the operation is in doubt, another request is a mismatch.
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

    /// Replaces the function that makes the response of a rejection. Default:
    /// [`Rejection::render`].
    ///
    /// The layer sets the status, `Retry-After`, `X-Should-Retry` and `Location` after it, because
    /// clients act on them.
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

    /// Sets how much of a response is stored. Default: [`StoredResponse::Full`].
    ///
    /// A handler can override it for one response by a
    /// [`ResponseDirective`](crate::ResponseDirective).
    ///
    /// ```
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// use http::header;
    /// use tower_idempotency::StoredResponse;
    ///
    /// // The response contains a card number. A retry gets the status and the location of the card.
    /// let layer = IdempotencyLayer::new(MemoryStore::new())
    ///     .stored_response(StoredResponse::Status)
    ///     .store_headers([header::LOCATION]);
    /// ```
    ///
    /// [`execute`](Self::execute) cannot replay a status. With less than [`StoredResponse::Full`]
    /// it stores nothing of a result, and it rejects a retry.
    #[must_use]
    pub fn stored_response(self, level: StoredResponse) -> Self {
        self.set(|config| config.stored.level = level)
    }

    /// Stores and replays these headers also. Default: none.
    ///
    /// [`StoredResponse::Status`] stores few headers, and this list adds to them. By default the
    /// layer does not store these headers:
    ///
    /// - `Set-Cookie`, `Set-Cookie2`, `Date`, `Age`, `Server`, `Alt-Svc` and `Clear-Site-Data`
    /// - `WWW-Authenticate`, `Authorization`, `Proxy-Authorization`, `Authentication-Info` and
    ///   `Proxy-Authentication-Info`
    /// - `DPoP-Nonce`, `Replay-Nonce`, `X-CSRF-Token`, `X-XSRF-Token`, `X-Auth-Token`,
    ///   `X-Access-Token`, `X-Refresh-Token` and `X-Session-Token`
    ///
    /// `Cache-Control`, `Expires`, `Pragma`, `CDN-Cache-Control` and `Surrogate-Control` are
    /// replayed as they were stored if this list names them. Otherwise a replay has
    /// `Cache-Control: no-store` in their place: see
    /// [`what_is_stored`](crate::guide::what_is_stored#caches).
    ///
    /// No list adds `X-Should-Retry`, or headers that frame a message or belong to one connection
    /// (RFC 9110, section 7.6.1). A trailer is never added.
    #[must_use]
    pub fn store_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.set(|config| config.stored.also.extend(names))
    }

    /// Stores these headers and no others, except those of [`store_headers`](Self::store_headers).
    /// Default: all headers that may be stored.
    ///
    /// An empty list stores no header. With less than [`StoredResponse::Full`] this list adds no
    /// header. It selects from the few
    /// headers that are then stored.
    ///
    /// A cookie, a credential or a cache header in this list is stored and replayed as it is. A
    /// cache header also turns off the `no-store` of replays, as in `store_headers`.
    #[must_use]
    pub fn store_only_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.set(|config| config.stored.only = Some(names.into_iter().collect()))
    }

    /// Excludes these headers, and trailers of these names, from what is stored. Default: none.
    ///
    /// This list wins over all other lists.
    #[must_use]
    pub fn exclude_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.set(|config| config.stored.never.extend(names))
    }

    /// Encrypts responses before they go to the store. Default: no encryption.
    ///
    /// [`EncryptionKeys`] says what is encrypted, and how to change keys.
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

    /// Compresses (deflate) response bodies of more than this many bytes before they go to the
    /// store, if that makes them smaller. Default: no compression. A kilobyte is a good bound.
    ///
    /// The layer does not decompress a stored body whose stated size is above
    /// [`max_response`](Self::max_response). A retry is then rejected as one whose response was not
    /// retained.
    ///
    /// With encryption, the stored length reveals how well a response compresses. Do not use both
    /// for a response that contains a secret and text that an attacker can choose.
    #[cfg(feature = "compression")]
    #[must_use]
    pub fn compress_above(self, bytes: usize) -> Self {
        self.set(|config| config.packing.compress_above = Some(bytes))
    }

    /// Adds this header, with the value `true`, to replays beside `X-Idempotent-Result`. Default:
    /// none.
    #[must_use]
    pub fn replay_marker(self, name: HeaderName) -> Self {
        self.set(|config| config.replay_marker = Some(name))
    }

    /// Adds `X-Idempotent-Result: false` to first responses. Default: only replays have the header.
    #[must_use]
    pub fn mark_original(self) -> Self {
        self.set(|config| config.mark_original = true)
    }
}
