//! What one operation is.

use http::HeaderName;

use super::IdempotencyLayer;
use crate::record::fingerprint::{Fields, Input, Rule};
use crate::store::Store;

impl<St: Store> IdempotencyLayer<St> {
    /// Sets the rule that says which requests are the same operation: a `CanonicalBody`, or a
    /// [`FingerprintRule`](crate::fingerprint::FingerprintRule) of one's own. Default: the method, the path and query, the content
    /// type, the content encoding and every byte of the body.
    ///
    /// Records that were written by raw bytes are still compared so. Where another rule was in force, name it by
    /// [`legacy_fingerprint`](Self::legacy_fingerprint), or each honest repeat of a request from before the change is
    /// refused until its record expires; it is not run again.
    ///
    /// ```
    /// # #[cfg(feature = "canonical")] {
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// use tower_idempotency::{CanonicalBody, JsonPointer};
    ///
    /// // A client that makes a new nonce for each retry asks for the same operation all the same.
    /// let nonce = JsonPointer::from_static("/nonce");
    /// let layer = IdempotencyLayer::new(MemoryStore::new()).fingerprint(CanonicalBody::json().ignore(nonce));
    /// # }
    /// ```
    #[must_use]
    pub fn fingerprint(self, rule: impl Into<Rule>) -> Self {
        let rule = rule.into();
        self.set(|config| config.fingerprinting.rule = Some(rule))
    }

    /// Sets a closure as the rule that says which requests are the same operation. It adds everything that counts, the
    /// method and the path too, and answers `false` for a request whose raw bytes are to count.
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

    /// Names a rule that was in force before: a record that was written by it is compared by it. Name one after another;
    /// each costs a digest for each request. Default: none but raw bytes, which need not be named.
    #[must_use]
    pub fn legacy_fingerprint(self, rule: impl Into<Rule>) -> Self {
        let rule = rule.into();
        self.set(|config| config.fingerprinting.earlier.push(rule))
    }

    /// Sets headers that are part of what the request is, beside its content type and
    /// content encoding: an `Accept` that chooses between
    /// two answers, say. Default: none.
    #[must_use]
    pub fn fingerprint_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.set(|config| config.fingerprinting.headers = names.into_iter().collect())
    }
}
