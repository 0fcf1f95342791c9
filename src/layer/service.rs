//! [`Idempotency`]: guards a request, or passes it through.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;
use tracing::Instrument;

use super::future::ResponseFuture;
use crate::flow;
use crate::flow::observed;
use crate::flow::shared::Shared;
use crate::handler::without_key::WithoutKey;
use crate::http::body::{self, ResponseBody};
use crate::http::grpc::Protocol;
use crate::http::rejection::Rejection;
use crate::http::response;
use crate::settings::Config;
use crate::store::Store;

/// The service that [`IdempotencyLayer`](crate::IdempotencyLayer) makes.
///
/// Its error type is the inner service's, because each of its rejections is a response.
pub struct Idempotency<S, St> {
    inner: S,
    config: Arc<Config>,
    shared: Arc<Shared<St>>,
}

impl<S, St> Idempotency<S, St> {
    pub(crate) fn new(inner: S, config: Arc<Config>, shared: Arc<Shared<St>>) -> Self {
        Self { inner, config, shared }
    }
}

impl<S: Clone, St> Clone for Idempotency<S, St> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.config), Arc::clone(&self.shared))
    }
}

impl<S: fmt::Debug, St> fmt::Debug for Idempotency<S, St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency")
            .field("inner", &self.inner)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl<S, St, ReqBody, ResBody> Service<Request<ReqBody>> for Idempotency<S, St>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    St: Store,
    ReqBody: Body + From<Bytes> + Send + 'static,
    ReqBody::Data: Send,
    ReqBody::Error: Into<Box<dyn Error + Send + Sync>>,
    ResBody: Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Send,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, ReqBody, ResBody>;

    /// Always ready. The future waits until the inner service is ready, and only if it calls that
    /// service. Readiness can be a permit of a limit, and a replay or a rejection must not take
    /// one.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        if !self.config.guards(request.method()) {
            self.config.passes_through(request.method(), request.headers());
            return ResponseFuture::pass_through(self.inner.clone(), request);
        }
        // If a client sends the marker, the handler or a log must not take its request for a
        // replay.
        request.headers_mut().remove(response::RESULT);
        let key = match self.config.key_in_head(request.headers()) {
            Ok(Some(key)) => Some(key),
            // The flow looks for the key in the body.
            Ok(None) if self.config.key_pointer.is_some() => None,
            Ok(None) if self.config.require_key => {
                return self.reject(request, self.config.key_missing());
            }
            Ok(None) => {
                request.extensions_mut().insert(WithoutKey);
                return ResponseFuture::pass_through(self.inner.clone(), request);
            }
            Err(error) => return self.reject(request, Rejection::KeyInvalid(error)),
        };
        let (inner, config, shared) =
            (self.inner.clone(), Arc::clone(&self.config), Arc::clone(&self.shared));
        match observed::span(Some(request.method())) {
            None => ResponseFuture::guarded(flow::guard(inner, request, key, config, shared)),
            Some(span) => {
                let entered = span.enter();
                let guarded = flow::guard(inner, request, key, config, shared);
                drop(entered);
                ResponseFuture::guarded(guarded.instrument(span))
            }
        }
    }
}

impl<S, St> Idempotency<S, St> {
    /// Rejects a request before its body is read.
    fn reject<R, B>(&self, request: Request<R>, rejection: Rejection) -> ResponseFuture<S, R, B>
    where
        S: Service<Request<R>>,
        R: Body + Send + 'static,
        B: Body + Send + 'static,
        B::Error: Send,
        S::Error: Send + 'static,
    {
        observed::ended(None, rejection.code());
        let (head, body) = request.into_parts();
        let response = self.config.reject(&Protocol::of(&head.headers), rejection);
        if body::is_to_be_drained(&body, &head) {
            return ResponseFuture::guarded(body::after_draining(body, Ok(response)));
        }
        ResponseFuture::rejected(response)
    }
}
