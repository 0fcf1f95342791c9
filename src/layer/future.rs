//! [`ResponseFuture`]: the future of a pass-through request is unboxed, that of a guarded one
//! boxed.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::http::body::ResponseBody;

pin_project! {
    /// The future of [`Idempotency`](crate::service::Idempotency).
    pub struct ResponseFuture<S, R, B>
    where
        S: Service<Request<R>>,
        B: Body,
    {
        #[pin]
        kind: Kind<S, R, B>,
    }
}

type Boxed<B, E> = Pin<Box<dyn Future<Output = Result<Response<ResponseBody<B>>, E>> + Send>>;

pin_project! {
    #[project = KindProj]
    enum Kind<S, R, B>
    where
        S: Service<Request<R>>,
        B: Body,
    {
        // Waits until the inner service is ready.
        Passing { inner: S, request: Option<Request<R>> },
        Passed { #[pin] future: S::Future },
        Guarded { future: Boxed<B, S::Error> },
        Rejected { response: Option<Response<ResponseBody<B>>> },
    }
}

impl<S, R, B> ResponseFuture<S, R, B>
where
    S: Service<Request<R>>,
    B: Body,
{
    pub(crate) fn pass_through(inner: S, request: Request<R>) -> Self {
        Self { kind: Kind::Passing { inner, request: Some(request) } }
    }

    pub(crate) fn guarded(
        future: impl Future<Output = Result<Response<ResponseBody<B>>, S::Error>> + Send + 'static,
    ) -> Self {
        Self { kind: Kind::Guarded { future: Box::pin(future) } }
    }

    pub(crate) fn rejected(response: Response<ResponseBody<B>>) -> Self {
        Self { kind: Kind::Rejected { response: Some(response) } }
    }
}

impl<S, R, B> fmt::Debug for ResponseFuture<S, R, B>
where
    S: Service<Request<R>>,
    B: Body,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Passing { .. } | Kind::Passed { .. } => "ResponseFuture::PassThrough",
            Kind::Guarded { .. } => "ResponseFuture::Guarded",
            Kind::Rejected { .. } => "ResponseFuture::Rejected",
        })
    }
}

impl<S, R, B> Future for ResponseFuture<S, R, B>
where
    S: Service<Request<R>, Response = Response<B>>,
    B: Body,
{
    type Output = Result<Response<ResponseBody<B>>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let future = match self.as_mut().project().kind.project() {
                KindProj::Passing { inner, request } => {
                    ready!(inner.poll_ready(cx))?;
                    match request.take() {
                        Some(request) => inner.call(request),
                        // The future has ended, so the caller must not poll it again.
                        None => return Poll::Pending,
                    }
                }
                KindProj::Passed { future } => {
                    return Poll::Ready(
                        ready!(future.poll(cx)).map(|response| response.map(ResponseBody::inner)),
                    );
                }
                KindProj::Guarded { future } => return future.as_mut().poll(cx),
                KindProj::Rejected { response } => {
                    return match response.take() {
                        Some(response) => Poll::Ready(Ok(response)),
                        None => Poll::Pending,
                    };
                }
            };
            self.as_mut().project().kind.set(Kind::Passed { future });
        }
    }
}
