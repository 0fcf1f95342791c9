//! Where the key of a request comes from, and what one looks like.

use http::HeaderName;

use super::IdempotencyLayer;
use crate::record::fingerprint::JsonPointer;
use crate::store::Store;

impl<St: Store> IdempotencyLayer<St> {
    /// Sets the one header that carries the key. Default: `X-Idempotency-Key`, with
    /// `Idempotency-Key` as a second name; this setter takes the second name away. See also
    /// [`headers`](Self::headers).
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

    /// Sets the headers that may carry the key. One that is there more than once is refused with
    /// 400, and so are several that differ.
    #[must_use]
    pub fn headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.set(|config| config.headers = names.into_iter().collect())
    }

    /// Takes the key from a member of a JSON body too, as Square's API does:
    /// `{"idempotency_key":"…","amount":…}`. Default: headers only.
    ///
    /// A header still counts. These requests are rejected with 400:
    ///
    /// - the header and the body have different keys;
    /// - the member is not a string;
    /// - the body has a name twice in an object, because parsers differ in which member they take;
    /// - the body is JSON that the layer does not read to its end: more than 127 levels, more than
    ///   10,000 values (each value counts, nested ones included), a number out of the range of a
    ///   double, a string that is not UTF-8;
    /// - the body is compressed (`Content-Encoding`) and no header has a key: decompress it outside
    ///   of this layer.
    ///
    /// The budget of 10,000 values bounds what a hostile body costs: at most 8 MiB of memory and 10
    /// ms of a worker at the default limit of 1 MiB. A header with a key does not lift it, because
    /// the body may have another one. For larger batches, use a layer without `key_in_body` on that
    /// route.
    ///
    /// A body that is not JSON has no key, nor has one without the member, or with null for it.
    /// Every request with a guarded method is then read into memory, to the limit of
    /// [`max_request`](Self::max_request).
    ///
    /// There is no setting that takes the key from the path, the query or a cookie. Proxies log
    /// URLs, browsers store them in their history, and a key is what it takes to replay a response.
    /// A browser also sends cookies with requests that another site wrote.
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

    /// Takes RFC 9651 Strings (`"abc"`) only. Every String of 1 to 255 characters is a key, spaces
    /// included. Default: a bare value is a key too, and the same one. A value with a space is then
    /// rejected with 400.
    #[cfg(feature = "strict-keys")]
    #[must_use]
    pub fn strict_keys(self) -> Self {
        self.set(|config| config.parse_key = crate::record::key::IdempotencyKey::parse_strict)
    }

    /// Answers 400 to a guarded request without a key. Default: it passes through unguarded.
    ///
    /// A request that passes through takes capacity inside before its body has come. See the order of
    /// layers at [`body_timeout`](Self::body_timeout).
    #[must_use]
    pub fn require_key(self) -> Self {
        self.set(|config| config.require_key = true)
    }
}
