//! The handler's word on its own answer.

use std::time::Duration;

use crate::http::class::ResponseClass;
use crate::http::response::StoredResponse;

/// What a handler says of its own answer, in the extensions of the response: it comes before the classifier and the
/// settings of the layer.
///
/// ```
/// use http::{Response, StatusCode};
/// use tower_idempotency::ResponseDirective;
///
/// // The card was declined before anything was charged. After a first attempt the client may try
/// // another card under the same key.
/// fn declined() -> Response<String> {
///     let mut response = Response::new("card declined".to_owned());
///     *response.status_mut() = StatusCode::PAYMENT_REQUIRED;
///     response.extensions_mut().insert(ResponseDirective::discard());
///     response
/// }
/// # declined();
/// ```
///
/// The [`Rejection`](crate::Rejection) of another layer is never stored, whatever the verdict. Only
/// [`failed`](Self::failed) counts for more: the handler had an effect before it was rejected elsewhere.
///
/// It does not change what transaction mode commits: an answer of 400 and above is kept and replayed if it is a success, but what the
/// handler wrote is rolled back unless the store's `commit_if` says otherwise.
///
/// With the feature `axum` it is a part of a response: `(ResponseDirective::discard(), StatusCode::PAYMENT_REQUIRED)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResponseDirective {
    class: Option<ResponseClass>,
    keep: Option<StoredResponse>,
    retention: Option<Duration>,
}

impl ResponseDirective {
    /// Says nothing yet: for an answer whose retention alone is its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// The answer is definitive: it is kept and replayed, whatever its status.
    pub fn success() -> Self {
        Self { class: Some(ResponseClass::Success), ..Self::new() }
    }

    /// The attempt failed: the next request runs it again, unless [`OnFailed`](crate::OnFailed) says otherwise.
    pub fn failed() -> Self {
        Self { class: Some(ResponseClass::Failed), ..Self::new() }
    }

    /// Nothing happened: the record is as it was before the attempt, so after a first attempt there is none. In
    /// transaction mode the attempt is rolled back.
    ///
    /// While the operation is in doubt, the record stays bound to its fingerprint, and another
    /// request is a mismatch. See [`ResponseClass::Discard`].
    pub fn discard() -> Self {
        Self { class: Some(ResponseClass::Discard), ..Self::new() }
    }

    /// Says how much of this answer is kept.
    #[must_use]
    pub fn stored_response(self, keep: StoredResponse) -> Self {
        Self { keep: Some(keep), ..self }
    }

    /// Says how long this answer is kept, in place of the retention of the layer. No less than 1 ms.
    #[must_use]
    pub fn retention(self, retention: Duration) -> Self {
        Self { retention: Some(retention.max(Duration::from_millis(1))), ..self }
    }

    pub(crate) fn said_class(self) -> Option<ResponseClass> {
        self.class
    }

    pub(crate) fn said_keep(self) -> Option<StoredResponse> {
        self.keep
    }

    pub(crate) fn said_retention(self) -> Option<Duration> {
        self.retention
    }
}
