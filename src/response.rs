//! From a response to the [`Outcome`] that is kept of it, and back. Replays are built here and nowhere else.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use http_body::Body;

use crate::body::{ResponseBody, next_frame};
use crate::outcome::{KeptBody, NotRetained, Outcome};

/// Tells a replay from a first answer. Ignored and removed on requests.
pub(crate) const RESULT: HeaderName = HeaderName::from_static("x-idempotent-result");
/// On a replay, the id of the request that was answered first.
pub(crate) const ORIGINAL_REQUEST_ID: HeaderName = HeaderName::from_static("x-original-request-id");
/// The id of a request, as tower-http's `request_id` sets it.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Headers that belong to one response or one connection and not to the answer. RFC 9110, section 7.6.1, names those
/// of the connection; the others would hand a session, a challenge, or a stale fact to whoever repeats the request.
const NEVER_KEPT: [HeaderName; 13] = [
    header::SET_COOKIE,
    header::DATE,
    header::SERVER,
    header::CONTENT_LENGTH,
    header::WWW_AUTHENTICATE,
    header::PROXY_AUTHENTICATE,
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::TE,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    RESULT,
];

/// Reads the body of a response if it is worth keeping and within the limit.
///
/// Gives the response for the client, as the inner service made it, and the body for the record; or the error that
/// ended the body, which then stands in the response too.
pub(crate) async fn capture<B>(
    head: Parts,
    body: B,
    limit: Option<usize>,
) -> (Response<ResponseBody<B>>, Result<KeptBody, BrokenBody>)
where
    B: Body<Data = Bytes>,
{
    let not_retained = match (limit, body.size_hint().exact()) {
        (None, _) => Some(NotRetained::Failure),
        // To wait for the end of a stream would hold the client's answer back.
        (_, None) => Some(NotRetained::Streamed),
        (Some(limit), Some(length)) if length > limit as u64 => Some(NotRetained::TooLarge),
        _ => None,
    };
    let (body, kept) = match not_retained {
        Some(reason) => (ResponseBody::inner(body), Ok(KeptBody::NotRetained(reason))),
        None => collect(body, limit.unwrap_or(0)).await,
    };
    (Response::from_parts(head, body), kept)
}

/// The body of the response ended with an error before its end.
pub(crate) struct BrokenBody;

async fn collect<B>(body: B, limit: usize) -> (ResponseBody<B>, Result<KeptBody, BrokenBody>)
where
    B: Body<Data = Bytes>,
{
    // Boxed, because a body may have to be handed on after it was polled.
    let mut body = Box::pin(body);
    let mut read = VecDeque::new();
    let mut length = 0;
    let mut trailers = None;
    while let Some(frame) = next_frame(body.as_mut()).await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return (ResponseBody::begun(read, Some(error), body), Err(BrokenBody)),
        };
        match frame.into_data() {
            Ok(data) => {
                length += data.len();
                read.push_back(data);
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
        // The announced length was wrong.
        if length > limit {
            let kept = KeptBody::NotRetained(NotRetained::TooLarge);
            return (ResponseBody::begun(read, None, body), Ok(kept));
        }
    }
    let bytes = join(read, length);
    let whole = ResponseBody::whole(bytes.clone(), trailers.clone());
    (whole, Ok(KeptBody::Whole { bytes, trailers }))
}

fn join(mut frames: VecDeque<Bytes>, length: usize) -> Bytes {
    if frames.len() == 1 {
        return frames.pop_front().unwrap_or_default();
    }
    let mut joined = BytesMut::with_capacity(length);
    for frame in frames {
        joined.put(frame);
    }
    joined.freeze()
}

/// What is kept of an answer: the status, the safe headers in their order, the id, and the body as captured.
pub(crate) fn keep<B>(response: &Response<B>, request_id: Option<HeaderValue>, body: KeptBody) -> Outcome {
    let headers = response.headers();
    Outcome {
        status: response.status(),
        headers: safe(headers),
        request_id: headers.get(REQUEST_ID).cloned().or(request_id),
        body,
    }
}

fn safe(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(headers.keys_len());
    for (name, value) in headers {
        let own = *name == REQUEST_ID || *name == ORIGINAL_REQUEST_ID || NEVER_KEPT.contains(name);
        if !own && !named_by_connection(headers, name) {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

/// Whether `Connection` names the header, which makes it one of the connection and not of the answer.
fn named_by_connection(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|option| option.trim().eq_ignore_ascii_case(name.as_str()))
}

/// The kept answer, byte for byte, marked as a replay. `request_id` is that of the request which repeats.
pub(crate) fn replay<B: Body>(
    outcome: Outcome,
    request_id: Option<HeaderValue>,
) -> Response<ResponseBody<B>> {
    let body = match outcome.body {
        KeptBody::Whole { bytes, trailers } => ResponseBody::whole(bytes, trailers),
        KeptBody::NotRetained(_) => ResponseBody::whole(Bytes::new(), None),
    };
    let mut response = Response::new(body);
    *response.status_mut() = outcome.status;
    *response.headers_mut() = outcome.headers;
    let headers = response.headers_mut();
    headers.insert(RESULT, HeaderValue::from_static("true"));
    if let Some(id) = request_id.or_else(|| outcome.request_id.clone()) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(id) = outcome.request_id {
        headers.insert(ORIGINAL_REQUEST_ID, id);
    }
    response
}

/// Passes an answer on that no record guards, and says so.
pub(crate) fn unguarded<B: Body>(response: Response<B>) -> Response<ResponseBody<B>> {
    let mut response = response.map(ResponseBody::inner);
    response.headers_mut().insert(RESULT, HeaderValue::from_static("unguarded"));
    response
}

/// Marks a first answer as such, for a layer that was asked to.
pub(crate) fn mark_first<B>(response: &mut Response<B>) {
    response.headers_mut().insert(RESULT, HeaderValue::from_static("false"));
}
