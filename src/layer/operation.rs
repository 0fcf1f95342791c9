//! What one operation is.

use http::HeaderName;

use super::IdempotencyLayer;
use crate::store::Store;

impl<St: Store> IdempotencyLayer<St> {
    /// Sets headers that are part of what the request is, beside its content type: an `Accept` that chooses between
    /// two answers, say. Default: none.
    #[must_use]
    pub fn fingerprint_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.set(|config| config.fingerprint_headers = names.into_iter().collect())
    }
}
