//! Settings of fingerprints: which requests are the same operation.

use http::HeaderName;

use super::IdempotencyLayer;
use crate::record::fingerprint::{Fields, Input, Rule};
use crate::store::Store;

impl<St: Store> IdempotencyLayer<St> {
    /// Sets the rule that decides which requests are the same operation: a `CanonicalBody`, or a
    /// [`FingerprintRule`](crate::fingerprint::FingerprintRule) of your own.
    ///
    /// Default: the method, the path and query, the content type, the content encoding and every
    /// byte of the body.
    ///
    /// Records that were written by the default rule are still compared by it. If you replace
    /// another rule, name the old one by [`legacy_fingerprint`](Self::legacy_fingerprint).
    /// Otherwise a retry of a request from before the change is rejected until its record expires.
    /// It does not run again.
    ///
    /// ```
    /// # #[cfg(feature = "canonical")] {
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// use tower_idempotency::{CanonicalBody, JsonPointer};
    ///
    /// // The client makes a new nonce for each retry, and a retry is the same operation.
    /// let nonce = JsonPointer::from_static("/nonce");
    /// let layer = IdempotencyLayer::new(MemoryStore::new()).fingerprint(CanonicalBody::json().ignore(nonce));
    /// # }
    /// ```
    #[must_use]
    pub fn fingerprint(self, rule: impl Into<Rule>) -> Self {
        let rule = rule.into();
        self.set(|config| config.fingerprinting.rule = Some(rule))
    }

    /// Sets a closure as the rule that decides which requests are the same operation.
    ///
    /// The closure adds everything that counts, the method and the path included. It returns
    /// `false` for a request to which the default rule applies.
    ///
    /// ```
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// // Both versions of the API make the same payment.
    /// let layer = IdempotencyLayer::new(MemoryStore::new()).fingerprint_fn(|operation, fields| {
    ///     let Some(("/v1" | "/v2", path)) = operation.path_and_query().split_at_checked(3) else {
    ///         return false;
    ///     };
    ///     fields.add(operation.method().as_str()).add(path).add(operation.body());
    ///     true
    /// });
    /// ```
    #[must_use]
    pub fn fingerprint_fn(
        self,
        rule: impl Fn(&Input<'_>, &mut Fields<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.fingerprint(rule)
    }

    /// Adds a rule that was in force before, so that its records are still compared by it. Default:
    /// none.
    ///
    /// Call it once for each earlier rule. Each costs one digest for each request. The default
    /// rule, over the raw bytes, need not be named.
    #[must_use]
    pub fn legacy_fingerprint(self, rule: impl Into<Rule>) -> Self {
        let rule = rule.into();
        self.set(|config| config.fingerprinting.earlier.push(rule))
    }

    /// Sets headers that are part of the fingerprint, beside the content type and the content
    /// encoding. Default: none.
    ///
    /// Use it where a header changes the operation, for example an `Accept` that selects one of two
    /// responses.
    #[must_use]
    pub fn fingerprint_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.set(|config| config.fingerprinting.headers = names.into_iter().collect())
    }
}
