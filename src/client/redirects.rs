//! Redirects that were followed between the layer and the network. The response at their end says
//! nothing about the operation.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

/// An extension of a response that came after a redirect. [`ClientLayer`](super::ClientLayer) then
/// does not take it for the outcome of the operation.
///
/// [`MarkRedirects`] sets it for Tower clients that follow redirects, and `observed_redirects` sets
/// it for reqwest. A client that follows redirects itself can set it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redirected;

/// A layer that makes redirects visible to an outer [`ClientLayer`](super::ClientLayer). Put it
/// inside the service that follows redirects, next to the network:
///
/// ```
/// # use bytes::Bytes;
/// # use http_body_util::Full;
/// # use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use tower::ServiceBuilder;
/// use tower_http::follow_redirect::FollowRedirectLayer;
/// use tower_idempotency::client::{ClientLayer, MarkRedirects};
///
/// # let connections = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
/// let client = ServiceBuilder::new()
///     .layer(ClientLayer::new())
///     .layer(FollowRedirectLayer::new())
///     .layer(MarkRedirects)
///     .service(connections);
/// # drop(client);
/// ```
///
/// Without it, a POST that is redirected to a login page with the status 200 looks like a success.
#[derive(Debug, Clone, Copy, Default)]
pub struct MarkRedirects;

impl<S> Layer<S> for MarkRedirects {
    type Service = MarkedRedirects<S>;

    fn layer(&self, inner: S) -> MarkedRedirects<S> {
        MarkedRedirects { inner }
    }
}

/// The service that [`MarkRedirects`] makes.
#[derive(Debug, Clone)]
pub struct MarkedRedirects<S> {
    inner: S,
}

/// An extension of a request of the layer, which its first hop uses up. A service that follows a
/// redirect makes a new request without it, or with a clone that is used up.
#[derive(Debug, Clone, Default)]
pub(crate) struct FirstHop(Arc<AtomicBool>);

impl FirstHop {
    fn leaves(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for MarkedRedirects<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = MarkedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let is_first = request.extensions().get().is_some_and(FirstHop::leaves);
        MarkedFuture { call: self.inner.call(request), is_redirected: !is_first }
    }
}

pin_project! {
    /// The future of [`MarkedRedirects`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct MarkedFuture<F> {
        #[pin]
        call: F,
        is_redirected: bool,
    }
}

impl<F, B, E> Future for MarkedFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let marked = self.project();
        let mut response = ready!(marked.call.poll(cx))?;
        if *marked.is_redirected {
            response.extensions_mut().insert(Redirected);
        }
        Poll::Ready(Ok(response))
    }
}
