//! [`Client`]: sends a request under a key, or passes it through.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::retry::Retry;
use tower_service::Service;

use crate::client::attempt::{Attempts, Fault, JudgedResponse, Prepared, later};
use crate::client::error::{BoxError, Error, ErrorKind};
use crate::client::policy::Attempted;
use crate::client::settings::{Bound, Settings};
use crate::http::body::{ReadError, ResponseBody, read};

/// The service that [`ClientLayer`](super::ClientLayer) makes.
///
/// Each response to a request with a key has a [`Report`](super::Report), which
/// [`Reported::report`](super::Reported::report) gets. The caller gets a response that asks for a
/// retry only when there is no time, attempt or budget left. If the last attempt had no response,
/// the result is an [`Error`].
///
/// # Cancel safety
///
/// Dropping the future ends the attempt. The outcome is then unknown, as after a connection
/// failure.
#[derive(Clone)]
pub struct Client<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> Client<S> {
    pub(crate) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }
}

impl<S: fmt::Debug> fmt::Debug for Client<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("inner", &self.inner)
            .field("settings", &self.settings)
            .finish()
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Client<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    ReqBody: Body + From<Bytes> + Send + 'static,
    ReqBody::Data: Send,
    ReqBody::Error: Into<BoxError>,
    ResBody: Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Into<BoxError> + Send,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = Error;
    type Future = ClientFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(failed)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (head, body) = request.into_parts();
        if !self.settings.guards(&head) {
            let call = self.inner.call(Request::from_parts(head, body));
            return ClientFuture { kind: Kind::PassThrough { call } };
        }
        let next = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, next);
        let settings = Arc::clone(&self.settings);
        let operation = async move {
            let prepared = prepare(head, body, &settings).await?;
            match send(inner, prepared, settings).await {
                Ok(judged) => Ok(judged.response),
                Err(fault) => Err(fault.error),
            }
        };
        ClientFuture { kind: Kind::WithKey { operation: Box::pin(operation) } }
    }
}

/// Reads the body of a request, gives it its key, and sets its deadline.
pub(crate) async fn prepare<B>(
    mut head: Parts,
    body: B,
    settings: &Settings,
) -> Result<Prepared, Error>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let bound = head.extensions.get::<Bound>().cloned();
    if let Some(bound) = &bound {
        bound.history.take_over();
    }
    let unsent = |kind| {
        let mut error = Error::new(kind, None);
        if let Some(bound) = &bound {
            error.tell(0, Some(&bound.key), bound.history.is_in_doubt());
        }
        error
    };
    let body = pin!(body);
    let reading = read(body, settings.max_request, settings.total_timeout);
    let body = tokio::time::timeout(settings.total_timeout, reading).await;
    let body = body.map_err(|_| unsent(ErrorKind::Unreadable))?.map_err(|error| match error {
        ReadError::TooLarge { .. } => unsent(ErrorKind::TooLarge),
        ReadError::Broken | ReadError::Stalled => unsent(ErrorKind::Unreadable),
    })?;
    let marked = settings.mark(&mut head, &body);
    let marked = marked.map_err(|error| Error::new(ErrorKind::Key, Some(error.into())))?;
    let deadline = later(Instant::now(), settings.total_timeout);
    Ok(Prepared { head, body, marked: Arc::new(marked), deadline })
}

/// Sends a request, and retries it until a response settles it, as often as the settings allow.
pub(crate) fn send<'a, S, ReqBody, ResBody>(
    inner: S,
    request: Prepared,
    settings: Arc<Settings>,
) -> impl Future<Output = Result<JudgedResponse<ResBody>, Fault>> + Send + 'a
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'a,
    S::Error: Into<BoxError>,
    S::Future: Send + 'a,
    ReqBody: From<Bytes> + Send + 'a,
    ResBody: Body<Data = Bytes> + Send + 'a,
    ResBody::Error: Into<BoxError> + Send,
{
    let attempts = Attempts::new(inner, Arc::clone(&settings));
    Retry::new(Attempted::new(settings), attempts).call(request)
}

fn failed(error: impl Into<BoxError>) -> Error {
    Error::unguarded(error.into())
}

type Operation<B> = Pin<Box<dyn Future<Output = Result<Response<ResponseBody<B>>, Error>> + Send>>;

pin_project! {
    /// The future of a [`Client`]. It is unboxed for a request that passes through.
    #[must_use = "futures do nothing unless polled"]
    pub struct ClientFuture<F, B>
    where
        B: Body,
    {
        #[pin]
        kind: Kind<F, B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<F, B>
    where
        B: Body,
    {
        PassThrough { #[pin] call: F },
        WithKey { operation: Operation<B> },
    }
}

impl<F, B, E> Future for ClientFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
    E: Into<BoxError>,
{
    type Output = Result<Response<ResponseBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProj::PassThrough { call } => {
                let response = ready!(call.poll(cx)).map_err(failed)?;
                Poll::Ready(Ok(response.map(ResponseBody::inner)))
            }
            KindProj::WithKey { operation } => operation.as_mut().poll(cx),
        }
    }
}

impl<F, B: Body> fmt::Debug for ClientFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientFuture").finish_non_exhaustive()
    }
}
