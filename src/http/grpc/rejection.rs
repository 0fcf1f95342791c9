//! A rejection over gRPC: a response with trailers only.

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
    /// The gRPC code of the rejection. [`grpc`](crate::http::grpc) lists the codes with their
    /// reasons.
    pub fn grpc_code(&self) -> Code {
        Code::of(self.spec().grpc)
    }
}

/// Converts a rejection over HTTP into one over gRPC. It removes the body and the headers that
/// describe it. All other headers stay, because outer layers and proxies may use them.
pub(super) fn over_grpc<B: Body>(
    response: Response<ResponseBody<B>>,
    content_type: &HeaderValue,
) -> Response<ResponseBody<B>> {
    let Some(rejection) = response.extensions().get::<Rejection>() else {
        return response;
    };
    let metadata = metadata(rejection);
    let mut response = response.map(|_| ResponseBody::whole(Bytes::new(), None));
    // The HTTP status is about the transport, which succeeded, and not about the result of the
    // call.
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    for name in [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::CONTENT_LANGUAGE] {
        headers.remove(name);
    }
    headers.insert(header::CONTENT_TYPE, content_type.clone());
    headers.extend(metadata);
    response
}

/// The metadata that describe the rejection.
fn metadata(rejection: &Rejection) -> HeaderMap {
    let code = rejection.grpc_code();
    let message = rejection.to_string();
    let details = STANDARD_NO_PAD.encode(details::status(rejection, code, &message));
    let mut metadata = HeaderMap::with_capacity(4);
    metadata.insert(STATUS, u16::from(code.number()).into());
    // Both values are visible ASCII, so neither conversion fails.
    for (name, value) in [(MESSAGE, percent_encoded(&message)), (DETAILS, details)] {
        metadata.extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
    }
    metadata.extend(pushback(rejection).map(|after| (PUSHBACK, after.into())));
    metadata
}

fn pushback(rejection: &Rejection) -> Option<i32> {
    if rejection.should_retry() == Some(false) {
        return Some(-1);
    }
    let after = rejection.retry_after()?;
    Some(i32::try_from(after.as_millis()).unwrap_or(i32::MAX))
}

/// Percent-encodes a message by the rules of "gRPC over HTTP2": every byte that is neither a space
/// nor visible ASCII, and the percent sign itself.
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
