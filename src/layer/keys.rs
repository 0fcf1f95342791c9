//! Settings of keys: where the layer finds them, and which values it accepts.

use http::HeaderName;

use super::IdempotencyLayer;
use crate::record::fingerprint::JsonPointer;
use crate::store::Store;

impl<St: Store> IdempotencyLayer<St> {
    /// Sets the only header that carries the key. Default: `X-Idempotency-Key` and
    /// `Idempotency-Key`.
    ///
    /// This setter removes both default names. For several names use [`headers`](Self::headers).
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
        self.headers([name])
    }

    /// Sets the headers that may carry the key. Default: `X-Idempotency-Key` and `Idempotency-Key`.
    ///
    /// The layer rejects a request with 400 if it has one of them twice, or several that differ.
    ///
    /// Pass an empty list only with [`key_in_body`](Self::key_in_body), for keys in the body alone.
    /// Otherwise it switches the layer off: it finds no key, and logs a warning.
    #[must_use]
    pub fn headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.set(|config| config.headers = names.into_iter().collect())
    }

    /// Reads the key from a member of a JSON body too, as Square's API does:
    /// `{"idempotency_key":"…","amount":…}`. Default: headers only.
    ///
    /// The layer still reads the headers. It rejects these requests with 400:
    ///
    /// - The header and the body have different keys.
    /// - The member is not a string.
    /// - An object in the body has a name twice, because parsers differ in which member they take.
    /// - The body is JSON with more than 127 levels, or more than 10,000 values (nested ones
    ///   included).
    /// - The body is JSON with a number out of the range of a double, or a string that is not
    ///   UTF-8.
    /// - The body is compressed (`Content-Encoding`) and no header has a key. Decompress it outside
    ///   of this layer.
    ///
    /// The limit of 10,000 values bounds the cost of a hostile body. At the default body limit of
    /// 1 MiB, the cost is at most 8 MiB of memory and 10 ms of a worker. The limit applies with a
    /// key in a header too, because the body may have another one. For larger batches, use a layer
    /// without `key_in_body` on that route.
    ///
    /// A body has no key if it is not JSON, or if the member is missing or null.
    ///
    /// With this setting the layer reads every request with a guarded method into memory, up to
    /// [`max_request`](Self::max_request).
    ///
    /// No setting reads the key from the path, the query or a cookie. Proxies log URLs, browsers
    /// store them in their history, and a key is enough to replay a response. A browser also sends
    /// cookies with requests from another site.
    ///
    /// ```
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// use tower_idempotency::JsonPointer;
    ///
    /// let layer = IdempotencyLayer::new(MemoryStore::new())
    ///     .key_in_body(JsonPointer::from_static("/idempotency_key"));
    /// ```
    #[must_use]
    pub fn key_in_body(self, pointer: JsonPointer) -> Self {
        self.set(|config| config.key_pointer = Some(pointer))
    }

    /// Accepts only RFC 9651 Strings (`"abc"`) as keys. Every String of 1 to 255 characters is a
    /// key, spaces included.
    ///
    /// Default: `"abc"` and the bare value `abc` are the same key, and a value with a space is
    /// rejected with 400.
    #[cfg(feature = "strict-keys")]
    #[must_use]
    pub fn strict_keys(self) -> Self {
        self.set(|config| config.key_form = crate::record::key::KeyForm::STRICT)
    }

    /// Rejects a request with a guarded method and without a key, with 400. Default: it passes
    /// through unguarded.
    ///
    /// PUT, DELETE and every other method that is not in [`methods`](Self::methods) still pass
    /// through without a key. The layer logs a warning at the first such request of each method
    /// that is not safe.
    ///
    /// A request that passes through takes capacity of the inner service before its body arrives.
    /// See the order of layers at [`body_timeout`](Self::body_timeout).
    #[must_use]
    pub fn require_key(self) -> Self {
        self.set(|config| config.require_key = true)
    }
}
