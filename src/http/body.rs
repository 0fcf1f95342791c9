//! The bodies of responses, and reading the bodies of requests.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::LengthLimitError;
use pin_project_lite::pin_project;

use crate::runtime::deadlines::within;

mod drain;

pub(crate) use drain::{after_draining, is_to_be_drained, read_or_drain};

pin_project! {
    /// The body of a response that went through the layer.
    ///
    /// It consists of whole bytes, or it wraps the body of the inner service.
    pub struct ResponseBody<B>
    where
        B: Body,
    {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B>
    where
        B: Body,
    {
        Whole { bytes: Bytes, trailers: Option<Box<HeaderMap>> },
        Inner { #[pin] body: B },
        // The body was read in part. The frames in `read` come first. Then comes the error that
        // ended the body, or the rest of it.
        Begun { read: VecDeque<Bytes>, error: Option<B::Error>, rest: Pin<Box<B>> },
    }
}

impl<B: Body> ResponseBody<B> {
    pub(crate) fn whole(bytes: Bytes, trailers: Option<Box<HeaderMap>>) -> Self {
        Self { kind: Kind::Whole { bytes, trailers } }
    }

    pub(crate) fn inner(body: B) -> Self {
        Self { kind: Kind::Inner { body } }
    }

    pub(crate) fn begun(read: VecDeque<Bytes>, error: Option<B::Error>, rest: Pin<Box<B>>) -> Self {
        Self { kind: Kind::Begun { read, error, rest } }
    }
}

impl<B: Body> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Whole { .. } => "ResponseBody::Whole",
            Kind::Inner { .. } => "ResponseBody::Inner",
            Kind::Begun { .. } => "ResponseBody::Begun",
        })
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProj::Inner { body } => body.poll_frame(cx),
            KindProj::Whole { bytes, trailers } => Poll::Ready(if bytes.is_empty() {
                trailers.take().map(|trailers| Ok(Frame::trailers(*trailers)))
            } else {
                Some(Ok(Frame::data(std::mem::take(bytes))))
            }),
            KindProj::Begun { read, error, rest } => match (read.pop_front(), error.take()) {
                (Some(bytes), later) => {
                    *error = later;
                    Poll::Ready(Some(Ok(Frame::data(bytes))))
                }
                (None, Some(error)) => Poll::Ready(Some(Err(error))),
                (None, None) => rest.as_mut().poll_frame(cx),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Whole { bytes, trailers } => bytes.is_empty() && trailers.is_none(),
            Kind::Begun { read, error, rest } => {
                read.is_empty() && error.is_none() && rest.is_end_stream()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Whole { bytes, .. } => SizeHint::with_exact(bytes.len() as u64),
            Kind::Begun { read, rest, .. } => {
                let read: u64 = read.iter().map(|bytes| bytes.len() as u64).sum();
                let rest = rest.size_hint();
                let mut hint = SizeHint::new();
                if let Some(upper) = rest.upper() {
                    hint.set_upper(read + upper);
                }
                hint.set_lower(read + rest.lower());
                hint
            }
        }
    }
}

pin_project! {
    /// The request body for a service that is not built on axum.
    ///
    /// The layer needs a body that implements `From<Bytes>`. axum's own body and `Full<Bytes>` do.
    /// hyper's `Incoming` does not, so wrap it before the layer sees it:
    ///
    /// ```
    /// use http::Request;
    /// use hyper::body::Incoming;
    /// use tower::ServiceBuilder;
    /// use tower_idempotency::{IdempotencyLayer, MemoryStore, RequestBody};
    ///
    /// let stack = ServiceBuilder::new()
    ///     .map_request(|request: Request<Incoming>| request.map(RequestBody::new))
    ///     .layer(IdempotencyLayer::new(MemoryStore::new()));
    /// # drop(stack);
    /// ```
    pub struct RequestBody<B> {
        #[pin]
        kind: RequestKind<B>,
    }
}

pin_project! {
    #[project = RequestKindProj]
    enum RequestKind<B> {
        Whole { bytes: Bytes },
        Inner { #[pin] body: B },
    }
}

impl<B> RequestBody<B> {
    /// Wraps a body that comes from the network.
    pub fn new(body: B) -> Self {
        Self { kind: RequestKind::Inner { body } }
    }
}

impl<B> From<Bytes> for RequestBody<B> {
    fn from(bytes: Bytes) -> Self {
        Self { kind: RequestKind::Whole { bytes } }
    }
}

impl<B> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            RequestKind::Whole { .. } => "RequestBody::Whole",
            RequestKind::Inner { .. } => "RequestBody::Inner",
        })
    }
}

impl<B: Body<Data = Bytes>> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            RequestKindProj::Inner { body } => body.poll_frame(cx),
            RequestKindProj::Whole { bytes } if bytes.is_empty() => Poll::Ready(None),
            RequestKindProj::Whole { bytes } => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            RequestKind::Inner { body } => body.is_end_stream(),
            RequestKind::Whole { bytes } => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            RequestKind::Inner { body } => body.size_hint(),
            RequestKind::Whole { bytes } => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

type BoxError = Box<dyn Error + Send + Sync>;

/// Why the layer could not read a whole request body.
#[derive(Debug)]
pub(crate) enum ReadError {
    TooLarge {
        limit: Option<usize>,
    },
    Broken,
    /// The body made no progress in time.
    Stalled,
}

impl ReadError {
    /// Finds the error of a limit that an outer layer set. The layers between may have wrapped it.
    fn of(error: &BoxError) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&**error);
        while let Some(error) = cause {
            if error.is::<LengthLimitError>() {
                return Self::TooLarge { limit: None };
            }
            cause = error.source();
        }
        Self::Broken
    }
}

/// Reads a request body of at most `limit` bytes. It waits at most `patience` for each part. A body
/// that comes in one frame is not copied.
///
/// # Cancel safety
///
/// Dropping the future loses the bytes read so far. That happens when the client hangs up.
pub(crate) async fn read<B>(
    mut body: Pin<&mut B>,
    limit: usize,
    patience: Duration,
) -> Result<Bytes, ReadError>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(ReadError::TooLarge { limit: Some(limit) });
    }
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    loop {
        let next = within(patience, next_data(body.as_mut())).await.ok_or(ReadError::Stalled)?;
        let Some(data) = next else { break };
        let mut data = data.map_err(|error| ReadError::of(&error.into()))?;
        if first.len() + joined.len() + data.remaining() > limit {
            return Err(ReadError::TooLarge { limit: Some(limit) });
        }
        if first.is_empty() && joined.is_empty() {
            first = data.copy_to_bytes(data.remaining());
            if body.is_end_stream() {
                break;
            }
            continue;
        }
        if joined.is_empty() {
            let received = first.len() + data.remaining();
            joined.reserve(received + expected(&body.size_hint(), received));
            joined.extend_from_slice(&std::mem::take(&mut first));
        }
        joined.put(data);
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

/// Returns the next bytes of a body. An empty frame is not progress. The trailers of a request are
/// dropped because a body made from bytes cannot have them.
async fn next_data<B: Body>(mut body: Pin<&mut B>) -> Option<Result<B::Data, B::Error>> {
    loop {
        match next_frame(body.as_mut()).await?.map(Frame::into_data) {
            Ok(Ok(data)) if data.has_remaining() => return Some(Ok(data)),
            Ok(_) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

/// Returns how much more memory to allocate at once. It is the announced rest of the body, limited
/// by what the client has sent: the client may send nothing more.
fn expected(rest: &SizeHint, received: usize) -> usize {
    let most = received.max(64 << 10);
    usize::try_from(rest.lower()).map_or(most, |announced| announced.min(most))
}

pub(crate) async fn next_frame<B: Body>(
    mut body: Pin<&mut B>,
) -> Option<Result<Frame<B::Data>, B::Error>> {
    std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await
}
