//! One attempt: the request goes out, and its answer comes in whole, or there is none.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::Instant;
use tower_service::Service;

use crate::body::ResponseBody;
use crate::client::disposition::Disposition;
use crate::client::error::{BoxError, Error, ErrorKind};
use crate::client::retry_after::retry_after;
use crate::client::settings::Settings;
use crate::headers::has_media_type;
use crate::key::IdempotencyKey;
use crate::outcome::KeptBody;
use crate::response::capture;

/// A request that can be sent again: it is the same on every attempt.
#[derive(Clone)]
pub(crate) struct Prepared {
    pub(crate) head: Parts,
    pub(crate) body: Bytes,
    /// The key, if it can be read.
    pub(crate) key: Option<IdempotencyKey>,
    /// When the last attempt has to be over.
    pub(crate) deadline: Instant,
}

/// An answer, and what it says.
pub(crate) struct Answer<B: Body> {
    pub(crate) response: Response<ResponseBody<B>>,
    pub(crate) disposition: Disposition,
    /// What the answer asks for, however long.
    pub(crate) retry_after: Option<Duration>,
}

/// No answer.
pub(crate) struct Fault {
    pub(crate) error: Error,
    /// Whether another attempt may do better.
    pub(crate) is_transient: bool,
}

/// Makes attempts through the inner service, which has to live as long as they do.
pub(crate) struct Repeatable<'a, S, B> {
    inner: S,
    settings: Arc<Settings>,
    of: PhantomData<fn(B) -> &'a ()>,
}

impl<S, B> Repeatable<'_, S, B> {
    pub(crate) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings, of: PhantomData }
    }
}

impl<S: Clone, B> Clone for Repeatable<'_, S, B> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.settings))
    }
}

impl<'a, S, ReqBody, ResBody> Service<Prepared> for Repeatable<'a, S, ReqBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'a,
    S::Error: Into<BoxError>,
    S::Future: Send + 'a,
    ReqBody: From<Bytes> + Send + 'a,
    ResBody: Body<Data = Bytes> + Send + 'a,
    ResBody::Error: Into<BoxError> + Send,
{
    type Response = Answer<ResBody>;
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<Answer<ResBody>, Fault>> + Send + 'a>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        // The inner service is waited for in the attempt, within its bound.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Prepared) -> Self::Future {
        let next = self.inner.clone();
        // The service of the first attempt is ready, and may hold a permit for it.
        let inner = std::mem::replace(&mut self.inner, next);
        let settings = Arc::clone(&self.settings);
        let ends = request.deadline.min(later(Instant::now(), settings.attempt_timeout));
        Box::pin(async move {
            let attempt = attempt(inner, request, settings.max_response);
            let (kind, source, is_transient) = match tokio::time::timeout_at(ends, attempt).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => {
                    let is_transient = (settings.is_transient)(&*error);
                    (ErrorKind::Connection, Some(error), is_transient)
                }
                Err(_) => (ErrorKind::Timeout, None, true),
            };
            Err(Fault { error: Error::new(kind, 1, source), is_transient })
        })
    }
}

/// A moment as far away as a clock can say.
pub(crate) fn later(now: Instant, wait: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_hours(24 * 365 * 100);
    now + wait.min(CENTURY)
}

async fn attempt<S, ReqBody, ResBody>(
    mut inner: S,
    Prepared { head, body, .. }: Prepared,
    limit: usize,
) -> Result<Answer<ResBody>, BoxError>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
    ReqBody: From<Bytes>,
    ResBody: Body<Data = Bytes>,
    ResBody::Error: Into<BoxError>,
{
    std::future::poll_fn(|cx| inner.poll_ready(cx)).await.map_err(Into::into)?;
    let response = inner.call(Request::from_parts(head, body.into())).await.map_err(Into::into)?;
    let (response, body) = whole(response, limit).await?;
    let (status, headers) = (response.status(), response.headers());
    let disposition = match body {
        Some(body) => Disposition::of(status, headers, &body),
        None => Disposition::of_unread(status, headers),
    };
    let retry_after = retry_after(response.headers(), SystemTime::now());
    Ok(Answer { response, disposition, retry_after })
}

/// Reads the body to its end: an answer that is cut off in its middle is lost. One that is larger than the limit, or a
/// stream of events, is handed on as it comes, and its body is not known.
async fn whole<B>(
    response: Response<B>,
    limit: usize,
) -> Result<(Response<ResponseBody<B>>, Option<Bytes>), BoxError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (head, body) = response.into_parts();
    let limit = (!has_media_type(&head.headers, "text/event-stream")).then_some(limit);
    // The attempt as a whole has a bound.
    let (response, kept) = capture(head, body, limit, true, Duration::MAX).await;
    match kept {
        Ok(KeptBody::Whole { bytes, .. }) => Ok((response, Some(bytes))),
        Ok(_) => Ok((response, None)),
        Err(_) => Err(reason(response.into_body()).await),
    }
}

/// The error with which a body ended.
async fn reason<B>(body: ResponseBody<B>) -> BoxError
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let ended = body.collect().await;
    ended.err().map_or_else(|| "the answer ended before its end".into(), Into::into)
}
