//! Every rejection of the layer: its status, its headers and its problem document (RFC 9457).

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::headers::flag;

mod elsewhere;
mod kinds;
mod spec;
mod words;

#[cfg(any(feature = "client", feature = "openapi"))]
pub(crate) use elsewhere::is_problem;
pub(crate) use elsewhere::{LONGEST_PROBLEM, Recognized, may_be_rejection};
pub use kinds::Rejection;
#[cfg(any(test, feature = "openapi"))]
pub(crate) use kinds::samples;
use spec::Advice;
#[cfg(feature = "openapi")]
pub(crate) use spec::Occasion;

/// The media type of a problem document (RFC 9457).
const PROBLEM: &str = "application/problem+json";

/// Tells clients whether a retry is of use, whatever they do with the status otherwise.
pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Whether a response says that the same request may go well later. `X-Should-Retry` decides, and
/// without it `Retry-After` does.
pub(crate) fn asks_again(headers: &HeaderMap) -> bool {
    flag(headers, &SHOULD_RETRY).unwrap_or_else(|| headers.contains_key(header::RETRY_AFTER))
}

/// The status of the response to a request whose key belongs to another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum OnMismatch {
    /// 409, as every other rejection because of a record.
    #[default]
    Conflict,
    /// 422, as draft-ietf-httpapi-idempotency-key-header-07 has it.
    UnprocessableContent,
    /// 400, as Stripe has it.
    BadRequest,
}

impl OnMismatch {
    fn status(self) -> StatusCode {
        match self {
            Self::Conflict => StatusCode::CONFLICT,
            Self::UnprocessableContent => StatusCode::UNPROCESSABLE_ENTITY,
            Self::BadRequest => StatusCode::BAD_REQUEST,
        }
    }
}

impl Rejection {
    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::KeyReused { status } => status.status(),
            _ => self.spec().statuses[0],
        }
    }

    /// When to retry, if that may help.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::InFlight { retry_after }
            | Self::TooManyInFlight { retry_after }
            | Self::QuotaExceeded { retry_after }
            | Self::ShuttingDown { retry_after }
            | Self::StoreUnavailable { retry_after, .. }
            | Self::CommitUnconfirmed { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// `Some(false)` if the same request will get the same rejection while the record exists, and
    /// `Some(true)` if a retry is safe and useful although its status does not say so. The client
    /// reads it in `X-Should-Retry`.
    pub fn should_retry(&self) -> Option<bool> {
        match self.spec().advice {
            Advice::ShouldRetry => Some(true),
            Advice::NoRetry => Some(false),
            Advice::Silent | Advice::RetryAfter => None,
        }
    }

    /// The status of the first response to the operation, where the rejection names it.
    pub fn original_status(&self) -> Option<StatusCode> {
        match self {
            Self::ResultNotRetained { original_status, .. } => Some(*original_status),
            Self::AttemptFailed { original_status } => *original_status,
            _ => None,
        }
    }

    /// The problem document as JSON.
    pub fn problem(&self) -> serde_json::Value {
        let mut problem = serde_json::json!({
            "type": self.type_uri(),
            "title": self.title(),
            "status": self.status().as_u16(),
            "detail": self.to_string(),
            "code": self.code(),
        });
        if let Some(status) = self.original_status() {
            problem["original_status"] = status.as_u16().into();
        }
        problem
    }

    /// The response that the layer gives by default: `application/problem+json`.
    pub fn render(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(self.problem().to_string()));
        *response.status_mut() = self.status();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        response
    }

    /// Adds what every rejection has, however it was rendered: the headers that clients act on, and
    /// the rejection itself for the layers outside.
    pub(crate) fn finish<B>(self, response: &mut Response<B>) {
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        if let Some(after) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, whole_seconds(after).into());
        }
        match self.should_retry() {
            Some(false) => {
                headers.remove(header::RETRY_AFTER);
                headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
            }
            Some(true) => {
                headers.insert(SHOULD_RETRY, HeaderValue::from_static("true"));
            }
            None => {}
        }
        self.set_location(headers);
        response.extensions_mut().insert(self);
    }

    fn set_location(&self, headers: &mut HeaderMap) {
        if let Self::ResultNotRetained { location: Some(location), .. } = self {
            headers.insert(header::LOCATION, location.clone());
        }
    }
}

/// `Retry-After` counts in whole seconds. They are rounded up, because 0 would ask for a retry at
/// once.
fn whole_seconds(duration: Duration) -> u64 {
    let up = u64::from(duration.subsec_nanos() > 0);
    duration.as_secs().saturating_add(up).max(1)
}
