//! What is kept of answers, and how the layer's own look.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, response};

use super::IdempotencyLayer;
use crate::config::Class;
use crate::rejection::Rejection;
use crate::store::Store;

impl<St: Store> IdempotencyLayer<St> {
    /// Sets the largest answer in bytes whose body is kept. A larger one goes to the client unchanged, and a repeat
    /// gets 409. Default: 1 MiB.
    #[must_use]
    pub fn max_response(self, bytes: usize) -> Self {
        self.set(|config| config.max_response = bytes)
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
