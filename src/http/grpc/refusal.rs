//! A refusal as gRPC tells it: an answer that has trailers only.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::Body;

use super::{Code, DETAILS, PUSHBACK, STATUS, details};
use crate::http::body::ResponseBody;
use crate::http::rejection::Rejection;

const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

impl Rejection {
    /// The code of the refusal when the request is gRPC; [`grpc`](crate::http::grpc) says why.
    pub fn grpc_code(&self) -> Code {
        Code::of(self.spec().grpc)
    }
}

/// Makes a refusal over HTTP one over gRPC. Its body and what described that go; all else stays,
/// for layers outside and proxies may heed it.
pub(super) fn over_grpc<B: Body>(
    refusal: Response<ResponseBody<B>>,
    content_type: &HeaderValue,
) -> Response<ResponseBody<B>> {
    let Some(rejection) = refusal.extensions().get::<Rejection>() else {
        return refusal;
    };
    let said = said(rejection);
    let mut answer = refusal.map(|_| ResponseBody::whole(Bytes::new(), None));
    // The HTTP status is of the call, which went well, and not of its answer.
    *answer.status_mut() = StatusCode::OK;
    let headers = answer.headers_mut();
    for name in [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::CONTENT_LANGUAGE] {
        headers.remove(name);
    }
    headers.insert(header::CONTENT_TYPE, content_type.clone());
    headers.extend(said);
    answer
}

/// The metadata that say what was refused.
fn said(rejection: &Rejection) -> HeaderMap {
    let code = rejection.grpc_code();
    let message = rejection.to_string();
    let details = STANDARD_NO_PAD.encode(details::status(rejection, code, &message));
    let mut said = HeaderMap::with_capacity(4);
    said.insert(STATUS, u16::from(code.number()).into());
    // Both are made of visible ASCII, so that neither is left out.
    for (name, value) in [(MESSAGE, percent_encoded(&message)), (DETAILS, details)] {
        said.extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
    }
    said.extend(pushback(rejection).map(|after| (PUSHBACK, after.into())));
    said
}

fn pushback(rejection: &Rejection) -> Option<i32> {
    if rejection.should_retry() == Some(false) {
        return Some(-1);
    }
    let after = rejection.retry_after()?;
    Some(i32::try_from(after.as_millis()).unwrap_or(i32::MAX))
}

/// Encodes a message as "gRPC over HTTP2" asks: all but space and visible ASCII, and the percent
/// sign itself.
fn percent_encoded(message: &str) -> String {
    let encoded = message.bytes().map(|byte| match byte {
        b'%' => "%25".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    });
    encoded.collect()
}

#[cfg(test)]
mod tests;
