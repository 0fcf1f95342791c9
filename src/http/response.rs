//! From a response to its stored [`Outcome`] and back. Only this module builds replays.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use http_body::Body;

use super::body::{ResponseBody, next_frame};
use super::rejection::SHOULD_RETRY;
use crate::record::outcome::{NotRetained, Outcome, StoredBody};
use crate::runtime::deadlines::within;

mod fields;
mod stored;

pub(crate) use stored::StoredParts;
pub use stored::StoredResponse;

/// Distinguishes a replay from a first response. The layer ignores and removes it on requests.
pub(crate) const RESULT: HeaderName = HeaderName::from_static("x-idempotent-result");
/// Marks a replay without a body whose first response had one.
pub(crate) const BODY: HeaderName = HeaderName::from_static("x-idempotent-body");
/// On a replay, the id of the request that the first response belongs to.
pub(crate) const ORIGINAL_REQUEST_ID: HeaderName = HeaderName::from_static("x-original-request-id");
/// The id of a request, as tower-http's `request_id` sets it.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The response headers that a client acts on: those of this layer, `X-Request-Id`, `Retry-After`
/// and `Location`.
///
/// A browser shows them to a script of another origin only if CORS exposes them. The guide
/// [`browsers`](crate::guide::browsers) shows the setting.
pub const EXPOSE_HEADERS: [HeaderName; 7] = [
    RESULT,
    BODY,
    REQUEST_ID,
    ORIGINAL_REQUEST_ID,
    SHOULD_RETRY,
    header::RETRY_AFTER,
    header::LOCATION,
];

/// Reads the body of a response if it is to be stored and within the limit.
///
/// Returns the body for the client, as the inner service made it, and the body for the record. If
/// an error ended the body, it returns [`BrokenBody`], and the body for the client ends with the
/// error. It reads a body of unknown length only with `to_its_end`. It reads no longer than
/// `bound`.
pub(crate) async fn capture<B>(
    body: B,
    limit: Option<usize>,
    to_its_end: bool,
    bound: Duration,
) -> (ResponseBody<B>, Result<StoredBody, BrokenBody>)
where
    B: Body<Data = Bytes>,
{
    let not_retained = match (limit, body.size_hint().exact()) {
        (None, _) => Some(NotRetained::Failure),
        // Waiting for the end of a stream would delay the response to the client.
        (_, None) if !to_its_end => Some(NotRetained::Streamed),
        (Some(limit), Some(length)) if length > limit as u64 => Some(NotRetained::TooLarge),
        _ => None,
    };
    match not_retained {
        Some(reason) => (ResponseBody::inner(body), Ok(StoredBody::NotRetained(reason))),
        None => collect(body, limit.unwrap_or(0), bound).await,
    }
}

/// The body of the response ended with an error before its end.
pub(crate) struct BrokenBody;

async fn collect<B>(
    body: B,
    limit: usize,
    bound: Duration,
) -> (ResponseBody<B>, Result<StoredBody, BrokenBody>)
where
    B: Body<Data = Bytes>,
{
    // Boxed, because the client may get the body after the layer has polled it.
    let mut body = Box::pin(body);
    let mut read = Read::default();
    let ended = within(bound, read.all(body.as_mut(), limit)).await;
    let not_retained = match ended {
        Some(Ok(End::Whole)) => {
            let (bytes, trailers) = read.whole();
            let whole = ResponseBody::whole(bytes.clone(), trailers.clone());
            return (whole, Ok(StoredBody::Whole { bytes, trailers }));
        }
        Some(Err(error)) => {
            return (ResponseBody::begun(read.frames, Some(error), body), Err(BrokenBody));
        }
        // The announced length was wrong.
        Some(Ok(End::AtLimit)) => NotRetained::TooLarge,
        None => NotRetained::Stalled,
    };
    (ResponseBody::begun(read.frames, None, body), Ok(StoredBody::NotRetained(not_retained)))
}

/// The part of a body that was read.
#[derive(Default)]
pub(crate) struct Read {
    pub(crate) frames: VecDeque<Bytes>,
    length: usize,
    trailers: Option<Box<HeaderMap>>,
}

pub(crate) enum End {
    Whole,
    AtLimit,
}

impl Read {
    async fn all<B: Body<Data = Bytes>>(
        &mut self,
        mut body: Pin<&mut B>,
        limit: usize,
    ) -> Result<End, B::Error> {
        loop {
            if let Some(end) = self.frame(body.as_mut(), limit).await? {
                return Ok(end);
            }
        }
    }

    /// Reads one frame. `None`: there may be more.
    pub(crate) async fn frame<B: Body<Data = Bytes>>(
        &mut self,
        body: Pin<&mut B>,
        limit: usize,
    ) -> Result<Option<End>, B::Error> {
        let Some(frame) = next_frame(body).await else { return Ok(Some(End::Whole)) };
        match frame?.into_data() {
            Ok(data) => {
                self.length += data.len();
                self.frames.push_back(data);
            }
            Err(frame) => self.trailers = frame.into_trailers().ok().map(Box::new),
        }
        Ok((self.length > limit).then_some(End::AtLimit))
    }

    /// The body that was read to its end.
    pub(crate) fn whole(mut self) -> (Bytes, Option<Box<HeaderMap>>) {
        if self.frames.len() == 1 {
            return (self.frames.pop_front().unwrap_or_default(), self.trailers);
        }
        let mut joined = BytesMut::with_capacity(self.length);
        for frame in self.frames {
            joined.put(frame);
        }
        (joined.freeze(), self.trailers)
    }
}

/// Builds the stored response, byte for byte, and marks it as a replay, also by `marker` if it is
/// set. `request_id` is the id of the retry. `stored` decides whether a cache may store a replay.
pub(crate) fn replay<B: Body>(
    outcome: Outcome,
    request_id: Option<HeaderValue>,
    stored: &StoredParts,
    marker: Option<&HeaderName>,
) -> Response<ResponseBody<B>> {
    let (body, is_omitted) = match outcome.body {
        StoredBody::Whole { bytes, trailers } => (ResponseBody::whole(bytes, trailers), false),
        _ => (ResponseBody::whole(Bytes::new(), None), true),
    };
    let mut response = Response::new(body);
    *response.status_mut() = outcome.status;
    *response.headers_mut() = outcome.headers;
    let headers = response.headers_mut();
    stored.forbid_caching(headers);
    headers.insert(RESULT, HeaderValue::from_static("true"));
    if let Some(marker) = marker {
        headers.insert(marker, HeaderValue::from_static("true"));
    }
    if is_omitted {
        headers.insert(BODY, HeaderValue::from_static("omitted"));
    }
    if let Some(id) = request_id.or_else(|| outcome.request_id.clone()) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(id) = outcome.request_id {
        headers.insert(ORIGINAL_REQUEST_ID, id);
    }
    response
}

/// Passes on a response that no record guards, and marks it as unguarded.
pub(crate) fn unguarded<B: Body>(response: Response<B>) -> Response<ResponseBody<B>> {
    let mut response = response.map(ResponseBody::inner);
    response.headers_mut().insert(RESULT, HeaderValue::from_static("unguarded"));
    response
}

/// Marks a first response, if the setting asks for it.
pub(crate) fn mark_original<B>(response: &mut Response<B>) {
    response.headers_mut().insert(RESULT, HeaderValue::from_static("false"));
}
