//! [`ResponseFuture`]: the pass-through future unboxed, the guarded one boxed.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use crate::body::ResponseBody;

pin_project! {
    /// The future of [`Idempotency`](crate::Idempotency).
    pub struct ResponseFuture<F, B, E>
    where
        B: Body,
    {
        #[pin]
        kind: Kind<F, B, E>,
    }
}

type Boxed<B, E> = Pin<Box<dyn Future<Output = Result<Response<ResponseBody<B>>, E>> + Send>>;

pin_project! {
    #[project = KindProj]
    enum Kind<F, B, E>
    where
        B: Body,
    {
        PassThrough { #[pin] future: F },
        Guarded { future: Boxed<B, E> },
        Refused { response: Option<Response<ResponseBody<B>>> },
    }
}

impl<F, B: Body, E> ResponseFuture<F, B, E> {
    pub(crate) fn pass_through(future: F) -> Self {
        Self { kind: Kind::PassThrough { future } }
    }

    pub(crate) fn guarded(
        future: impl Future<Output = Result<Response<ResponseBody<B>>, E>> + Send + 'static,
    ) -> Self {
        Self { kind: Kind::Guarded { future: Box::pin(future) } }
    }

    pub(crate) fn refused(response: Response<ResponseBody<B>>) -> Self {
        Self { kind: Kind::Refused { response: Some(response) } }
    }
}

impl<F, B: Body, E> fmt::Debug for ResponseFuture<F, B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::PassThrough { .. } => "ResponseFuture::PassThrough",
            Kind::Guarded { .. } => "ResponseFuture::Guarded",
            Kind::Refused { .. } => "ResponseFuture::Refused",
        })
    }
}

impl<F, B, E> Future for ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProj::PassThrough { future } => {
                Poll::Ready(ready!(future.poll(cx)).map(|response| response.map(ResponseBody::inner)))
            }
            KindProj::Guarded { future } => future.as_mut().poll(cx),
            KindProj::Refused { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                // As any future that has ended, it is not to be polled again.
                None => Poll::Pending,
            },
        }
    }
}
