//! The [`ResponseDirective`]: a handler's override for its own response.

use std::time::Duration;

use crate::http::class::ResponseClass;
use crate::http::response::StoredResponse;

/// Overrides, for one response, the classifier and the settings of the layer.
///
/// The handler puts it into the extensions of the response. With the feature `axum` it is also a
/// part of a response: `(ResponseDirective::discard(), StatusCode::PAYMENT_REQUIRED)`.
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
/// The [`Rejection`](crate::Rejection) of another layer is never stored, whatever the directive
/// says. Only [`failed`](Self::failed) and [`abandoned`](Self::abandoned) override its class, because
/// they say that the handler may have had an effect before the other layer rejected it.
///
/// A directive does not change what transaction mode commits. A [`success`](Self::success) with a
/// status of 400 or more is stored and replayed. The handler's writes are rolled back all the same,
/// unless the store's `commit_if` says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResponseDirective {
    class: Option<ResponseClass>,
    level: Option<StoredResponse>,
    retention: Option<Duration>,
    abandoned_if_cut_off: bool,
    read_to_its_end: bool,
}

impl ResponseDirective {
    /// Creates a directive without a class. Use it to override only the stored parts or the
    /// retention.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares the response definitive: the layer stores and replays it, whatever its status.
    pub fn success() -> Self {
        Self { class: Some(ResponseClass::Success), ..Self::new() }
    }

    /// Declares the attempt failed: the next request runs it again, unless
    /// [`OnFailed`](crate::OnFailed) says otherwise.
    pub fn failed() -> Self {
        Self { class: Some(ResponseClass::Failed), ..Self::new() }
    }

    /// Declares that it is unknown how the attempt ended: it was cut off somewhere behind the handler.
    /// For a gateway: the connection to its upstream broke or timed out after the request was sent.
    ///
    /// The client gets the response, and nothing of it is stored. The record is abandoned at once,
    /// so the next request runs in doubt, or is rejected: [`OnAbandoned`](crate::OnAbandoned)
    /// decides. If the request was not sent, use [`discard`](Self::discard) instead.
    ///
    /// In transaction mode it has the effect of [`failed`](Self::failed): the attempt is rolled
    /// back, and the operation is in doubt.
    pub fn abandoned() -> Self {
        Self { class: Some(ResponseClass::Abandoned), ..Self::new() }
    }

    /// Declares that nothing happened: the layer restores the record to its state before the
    /// attempt. After a first attempt no record is left. In transaction mode the attempt is rolled
    /// back.
    ///
    /// While the operation is in doubt, the record stays bound to its fingerprint, and a different
    /// request is a mismatch. See [`ResponseClass::Discard`].
    pub fn discard() -> Self {
        Self { class: Some(ResponseClass::Discard), ..Self::new() }
    }

    /// Declares the attempt abandoned if the body of the response breaks off. The default is failed.
    ///
    /// Use it for a response whose body comes from another system, as in a gateway: it is
    /// then unknown whether that system came to its end. A response that means "nothing happened" keeps
    /// its class.
    #[must_use]
    pub fn abandoned_if_cut_off(self) -> Self {
        Self { abandoned_if_cut_off: true, ..self }
    }

    /// Reads the body to its end although its length is unknown, so that it can be stored. By default
    /// the client gets such a body as it comes, and a retry gets 409.
    ///
    /// Use it for a response whose length is unknown only because it came in chunks, as most
    /// responses of Rails and Spring do. The limits are those of a body of known length:
    /// [`max_response`](crate::IdempotencyLayer::max_response) and
    /// [`capture_timeout`](crate::IdempotencyLayer::capture_timeout). The client waits for the first
    /// byte until the end of the body, or one of these limits.
    #[must_use]
    pub fn read_to_its_end(self) -> Self {
        Self { read_to_its_end: true, ..self }
    }

    /// Sets how much of this response is stored. The default is the layer's
    /// [`stored_response`](crate::IdempotencyLayer::stored_response).
    ///
    /// Use it for a response with secret content.
    #[must_use]
    pub fn stored_response(self, level: StoredResponse) -> Self {
        Self { level: Some(level), ..self }
    }

    /// Sets how long this response is stored. The default is the layer's
    /// [`retention`](crate::IdempotencyLayer::retention). The minimum is 1 ms: a shorter time is
    /// raised to it.
    #[must_use]
    pub fn retention(self, retention: Duration) -> Self {
        Self { retention: Some(retention.max(Duration::from_millis(1))), ..self }
    }

    pub(crate) fn class_override(self) -> Option<ResponseClass> {
        self.class
    }

    /// The class, if it says that the attempt may have had an effect and has no result.
    pub(crate) fn doubt(self) -> Option<ResponseClass> {
        self.class.filter(|class| matches!(class, ResponseClass::Failed | ResponseClass::Abandoned))
    }

    pub(crate) fn is_abandoned_if_cut_off(self) -> bool {
        self.abandoned_if_cut_off
    }

    pub(crate) fn is_read_to_its_end(self) -> bool {
        self.read_to_its_end
    }

    pub(crate) fn level_override(self) -> Option<StoredResponse> {
        self.level
    }

    pub(crate) fn retention_override(self) -> Option<Duration> {
        self.retention
    }
}
