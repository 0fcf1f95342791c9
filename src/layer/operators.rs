//! Settings for the people who operate the service.

use std::sync::Arc;

use http::request::Parts;

use super::IdempotencyLayer;
use crate::settings::labels::Labels;
use crate::store::Store;

impl<St: Store> IdempotencyLayer<St> {
    /// Stores with each record what operators look for: the namespace, the route, the digest of the
    /// scope, and when the key was reserved. Default: off.
    ///
    /// The route is the method and, with the feature `axum`, the matched path, for example `POST
    /// /payments/{id}`. [`label_records_with`](Self::label_records_with) sets another one. With a
    /// [`secret`](Self::secret) the digest of the scope is keyed.
    ///
    /// Without it, [`Operator`](crate::operate::Operator) still finds and settles records, but not
    /// by route, scope or namespace. On Redis it then does not know how old a settled record is.
    ///
    /// It costs some 50 to 100 bytes for each record.
    #[must_use]
    pub fn label_records(self) -> Self {
        self.label_records_with(template)
    }

    /// Does the same as [`label_records`](Self::label_records), with the path as `template` says.
    /// `None`: the method alone.
    ///
    /// Return a template and not the path. A layer has at most 1,000 different routes; all others
    /// are called `other`.
    ///
    /// ```
    /// use tower_idempotency::{IdempotencyLayer, MemoryStore};
    ///
    /// let layer = IdempotencyLayer::new(MemoryStore::new())
    ///     .label_records_with(|parts| parts.uri.path().starts_with("/v1/").then(|| "/v1/*".to_owned()));
    /// ```
    #[must_use]
    pub fn label_records_with(
        self,
        template: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.set(|config| config.labels = Some(Labels::new(Arc::new(template))))
    }
}

#[cfg(feature = "axum")]
fn template(parts: &Parts) -> Option<String> {
    let matched = parts.extensions.get::<axum::extract::MatchedPath>();
    matched.map(|path| path.as_str().to_owned())
}

#[cfg(not(feature = "axum"))]
fn template(_: &Parts) -> Option<String> {
    None
}
