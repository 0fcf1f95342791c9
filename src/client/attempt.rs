//! One attempt: sends the request, and reads its whole response.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use crate::client::disposition::{Disposition, Reply};
use crate::client::error::{BoxError, Error, ErrorKind};
use crate::client::history::Attempting;
use crate::client::redirects::{FirstHop, Redirected};
use crate::client::retry_after::retry_after;
use crate::client::settings::{Marked, Settings};
use crate::http::body::ResponseBody;
use crate::http::headers::has_media_type;
use crate::http::response::{End, Read};

/// A request that can be sent again: it is the same on every attempt.
#[derive(Clone)]
pub(crate) struct Prepared {
    pub(crate) head: Parts,
    pub(crate) body: Bytes,
    pub(crate) marked: Arc<Marked>,
    /// The end of the last attempt.
    pub(crate) deadline: Instant,
}

/// A response, and what it means.
pub(crate) struct JudgedResponse<B: Body> {
    pub(crate) response: Response<ResponseBody<B>>,
    pub(crate) disposition: Disposition,
    /// The status of the operation's response, if it is known.
    pub(crate) status: Option<StatusCode>,
    /// The wait that the response asks for, without a limit.
    pub(crate) retry_after: Option<Duration>,
}

/// The reason why there is no response.
pub(crate) struct Fault {
    pub(crate) error: Error,
    /// Whether another attempt may succeed.
    pub(crate) is_transient: bool,
    /// Whether the attempt was made at all.
    pub(crate) is_attempt: bool,
}

impl Fault {
    fn permanent(error: Error) -> Self {
        Self { error, is_transient: false, is_attempt: true }
    }

    /// The attempt was not made.
    pub(crate) fn unsent(kind: ErrorKind) -> Self {
        Self { is_attempt: false, ..Self::permanent(Error::new(kind, None)) }
    }
}

/// Makes attempts through the inner service, which must live as long as they do.
pub(crate) struct Attempts<'a, S, B> {
    inner: S,
    settings: Arc<Settings>,
    of: PhantomData<fn(B) -> &'a ()>,
}

impl<S, B> Attempts<'_, S, B> {
    pub(crate) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings, of: PhantomData }
    }
}

impl<S: Clone, B> Clone for Attempts<'_, S, B> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.settings))
    }
}

impl<'a, S, ReqBody, ResBody> Service<Prepared> for Attempts<'a, S, ReqBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'a,
    S::Error: Into<BoxError>,
    S::Future: Send + 'a,
    ReqBody: From<Bytes> + Send + 'a,
    ResBody: Body<Data = Bytes> + Send + 'a,
    ResBody::Error: Into<BoxError> + Send,
{
    type Response = JudgedResponse<ResBody>;
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<JudgedResponse<ResBody>, Fault>> + Send + 'a>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        // The attempt waits for the inner service, within its time limit.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Prepared) -> Self::Future {
        let next = self.inner.clone();
        // The service of the first attempt is ready, and may have a permit for it.
        let inner = std::mem::replace(&mut self.inner, next);
        let settings = Arc::clone(&self.settings);
        Box::pin(async move {
            // The machine may have been suspended since the attempt before.
            match request.marked.age.check(SystemTime::now()) {
                Ok(()) => attempt(inner, request, &settings).await,
                Err(untimely) => Err(Fault::unsent(untimely.into())),
            }
        })
    }
}

/// The instant after a wait, which is limited so that no clock overflows.
pub(crate) fn later(now: Instant, wait: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_hours(24 * 365 * 100);
    now + wait.min(CENTURY)
}

async fn attempt<S, ReqBody, ResBody>(
    mut inner: S,
    Prepared { mut head, body, marked, deadline }: Prepared,
    settings: &Settings,
) -> Result<JudgedResponse<ResBody>, Fault>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
    ReqBody: From<Bytes>,
    ResBody: Body<Data = Bytes>,
    ResBody::Error: Into<BoxError>,
{
    let pace = Pace { stretch: settings.attempt_timeout, deadline, settings };
    let first = pace.stretch.saturating_add(upload_time(body.len()));
    head.extensions.insert(FirstHop::default());
    let call = async {
        std::future::poll_fn(|cx| inner.poll_ready(cx)).await.map_err(Into::into)?;
        let attempting = Attempting::new(Arc::clone(&marked.history));
        let response =
            inner.call(Request::from_parts(head, body.into())).await.map_err(Into::into)?;
        Ok((response, attempting))
    };
    let (response, attempting) = pace.within(first, call).await?;
    let (response, body) = whole(response, settings.max_response, &pace).await?;

    let is_redirected = response.extensions().get::<Redirected>().is_some();
    let reply = Reply::new(response.status(), response.headers());
    let reply = reply.profile(settings.profile).redirected(is_redirected);
    let reply = body.as_deref().map_or(reply, |body| reply.body(body));
    let disposition = attempting.ended(reply);
    if reply.rejects_key() {
        return Err(Fault::permanent(Error::not_understood(marked.form.clone())));
    }
    let status = reply.final_status();
    let retry_after = retry_after(response.headers(), SystemTime::now());
    Ok(JudgedResponse { response, disposition, status, retry_after })
}

/// The time that a request body may take on a slow connection, because an upload cannot be
/// observed.
fn upload_time(length: usize) -> Duration {
    const BYTES_IN_A_SECOND: u64 = 16 << 10;
    Duration::from_millis((length as u64).saturating_mul(1000) / BYTES_IN_A_SECOND)
}

/// How long an attempt may take.
struct Pace<'a> {
    /// The longest time without progress.
    stretch: Duration,
    /// The end of the attempt.
    deadline: Instant,
    settings: &'a Settings,
}

impl Pace<'_> {
    async fn within<T>(
        &self,
        stretch: Duration,
        work: impl Future<Output = Result<T, BoxError>>,
    ) -> Result<T, Fault> {
        let end = self.deadline.min(later(Instant::now(), stretch));
        let (kind, source, is_transient) = match tokio::time::timeout_at(end, work).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => {
                let is_transient = (self.settings.is_transient)(&*error);
                (ErrorKind::Connection, Some(error), is_transient)
            }
            Err(_) => (ErrorKind::Timeout, None, true),
        };
        Err(Fault { error: Error::new(kind, source), is_transient, is_attempt: true })
    }
}

/// Reads the body to its end, because a response that is cut off is lost. A body above the limit,
/// or a stream of events, passes through unread.
async fn whole<B>(
    response: Response<B>,
    limit: usize,
    pace: &Pace<'_>,
) -> Result<(Response<ResponseBody<B>>, Option<Bytes>), Fault>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (head, body) = response.into_parts();
    if has_media_type(&head.headers, "text/event-stream") || body.size_hint().lower() > limit as u64
    {
        return Ok((Response::from_parts(head, ResponseBody::inner(body)), None));
    }
    // Boxed, because a body may be passed on after it was polled.
    let mut body = Box::pin(body);
    let mut read = Read::default();
    loop {
        let next = async { read.frame(body.as_mut(), limit).await.map_err(Into::into) };
        match pace.within(pace.stretch, next).await? {
            None => {}
            Some(End::Whole) => break,
            Some(End::AtLimit) => {
                return Ok((
                    Response::from_parts(head, ResponseBody::begun(read.frames, None, body)),
                    None,
                ));
            }
        }
    }
    let (bytes, trailers) = read.whole();
    let response = Response::from_parts(head, ResponseBody::whole(bytes.clone(), trailers));
    Ok((response, Some(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_1_mib_may_take_a_minute() {
        let time = upload_time(1 << 20);
        assert_eq!(time, Duration::from_secs(64));
        assert_eq!(upload_time(5), Duration::ZERO);
    }
}
