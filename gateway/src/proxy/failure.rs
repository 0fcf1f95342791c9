//! The responses of the gateway when the upstream gives none.

use std::error::Error;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use serde_json::json;
use tower_idempotency::ResponseDirective;

use super::body::{BodyError, ResponseBody};
use crate::telemetry;

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There was no connection, or no byte of the request was sent on it.
    NotSent(Box<dyn Error + Send + Sync>),
    /// The connection broke after the request was sent, at least in part.
    NoResponse(Box<dyn Error + Send + Sync>),
    /// The upstream did not begin its response in time.
    TimedOut,
    /// The client did not send all of its request.
    Client(BodyError),
}

impl Failure {
    /// Whether the upstream may have done what the request asks for.
    pub(super) fn may_have_happened(&self) -> bool {
        !matches!(self, Self::NotSent(_))
    }

    /// Counts what an upstream has failed to do.
    pub(super) fn count(&self) {
        let (status, code, _) = self.description();
        if status.is_server_error() {
            metrics::counter!(telemetry::UPSTREAM_FAILURES, "code" => code).increment(1);
        }
    }

    /// The response for the client. `may_have_happened` covers all attempts to send the request.
    pub(super) fn into_response(self, may_have_happened: bool) -> Response<ResponseBody> {
        let (status, code, detail) = self.description();
        if let Self::NotSent(error) | Self::NoResponse(error) = &self {
            tracing::warn!(code, error = %chain(&**error), "the upstream gave no response");
        }
        let mut response = problem(status, code, detail);
        if status.is_server_error() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(if may_have_happened {
            ResponseDirective::abandoned()
        } else {
            ResponseDirective::discard()
        });
        response
    }

    fn description(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NotSent(_) => (
                StatusCode::BAD_GATEWAY,
                "upstream_unreachable",
                "The upstream cannot be reached. Nothing was sent to it.",
            ),
            Self::NoResponse(_) => (
                StatusCode::BAD_GATEWAY,
                "upstream_no_response",
                "The connection to the upstream broke before its response. It may have done what \
                 the request asks for.",
            ),
            Self::TimedOut => (
                StatusCode::GATEWAY_TIMEOUT,
                "upstream_timed_out",
                "The upstream did not respond in time. It may have done what the request asks for.",
            ),
            Self::Client(BodyError::TooLarge) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "request_too_large",
                "The body of the request is larger than the gateway lets through.",
            ),
            Self::Client(_) => (
                StatusCode::BAD_REQUEST,
                "request_incomplete",
                "The body of the request did not come to its end.",
            ),
        }
    }
}

/// A problem document (RFC 9457) of the gateway itself.
pub(crate) fn problem(status: StatusCode, code: &str, detail: &str) -> Response<ResponseBody> {
    let title = status.canonical_reason().unwrap_or("Error");
    let document = json!({
        "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail, "code": code,
    });
    let mut response = Response::new(ResponseBody::from(Bytes::from(document.to_string())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

/// An error with its causes.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
