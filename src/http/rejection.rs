//! Every refusal of the layer: its status, its headers and its problem document (RFC 9457).

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::headers::flag;
use crate::record::key::KeyError;
use crate::store::StoreErrorKind;

mod elsewhere;
#[cfg(test)]
pub(crate) mod given;
mod spec;
mod words;

#[cfg(feature = "client")]
pub(crate) use elsewhere::is_problem;
pub(crate) use elsewhere::{LONGEST_PROBLEM, Recognized, may_be_rejection};

/// The media type of a problem document (RFC 9457).
const PROBLEM: &str = "application/problem+json";

/// Tells clients, whatever they do with a 409 otherwise, that to send the request again is of no use.
pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Whether a response says that the same request may go well later. `X-Should-Retry` decides, and
/// without it `Retry-After` does.
pub(crate) fn asks_again(headers: &HeaderMap) -> bool {
    flag(headers, &SHOULD_RETRY).unwrap_or_else(|| headers.contains_key(header::RETRY_AFTER))
}

/// Why the layer answered in place of the handler.
///
/// It is in the extensions of the response, so that layers outside can count and log it. No rejection
/// contains the key.
///
/// # Layers inside of a layer
///
/// A layer never stores the rejection of another one as the result of its own operation. It recognizes
/// a rejection by:
///
/// - the `Rejection` in the extensions of the response,
/// - `application/problem+json` with a status from 400 on, and one of these [codes](Self::code),
/// - over gRPC, an `ErrorInfo` of the domain `tower-idempotency`.
///
/// The record is then as it was before the attempt. Two kinds are `failed`, because their operation had
/// begun: [`CommitUnconfirmed`](Self::CommitUnconfirmed) and [`TransactionLost`](Self::TransactionLost).
/// This comes before a [`ResponseDirective`](crate::ResponseDirective) and before a classifier.
///
/// A [renderer](crate::IdempotencyLayer::rejection_response) that changes the content type or the code hides a
/// rejection from a layer in another process. So does a compression of the response in between.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// The request has no key, and the layer was told to require one.
    KeyMissing,
    /// The value of the key header is not a key.
    KeyInvalid(KeyError),
    /// The body of the request could not be read to its end.
    RequestUnreadable,
    /// The body of the request is larger than the layer buffers.
    RequestTooLarge {
        /// The limit in bytes, if it is this layer's and not that of a layer outside.
        limit: Option<usize>,
    },
    /// The body of the request made no progress for the
    /// [`body_timeout`](crate::IdempotencyLayer::body_timeout). Nothing was done. Over HTTP/1.1 the
    /// connection is closed.
    RequestTimeout,
    /// The key was used for another request.
    KeyReused {
        /// The status that the layer was told to give.
        status: OnMismatch,
    },
    /// The first request with this key is still running.
    InFlight {
        /// When to ask again.
        retry_after: Duration,
    },
    /// The operation was done, but its response was not stored: it was too large, streamed,
    /// stalled, rejected by the store, or withheld ([`StoredResponse::Nothing`](crate::StoredResponse::Nothing)).
    ResultNotRetained {
        /// The status of the answer.
        original_status: StatusCode,
        /// The `Location` of the answer.
        location: Option<HeaderValue>,
    },
    /// An earlier attempt was cut off, and the layer was told not to run the operation again.
    OutcomeUnknown,
    /// An earlier attempt failed, and the layer was told not to run the operation again.
    AttemptFailed {
        /// The status of the failed answer, if there was one.
        original_status: Option<StatusCode>,
    },
    /// As many operations are in flight as the layer was told to have at most.
    TooManyInFlight {
        /// When to ask again.
        retry_after: Duration,
    },
    /// The scope of the request has used up its quota: that of new keys, one of the application's,
    /// or its share of the store.
    QuotaExceeded {
        /// When to ask again.
        retry_after: Duration,
    },
    /// The service is about to end, and begins nothing new.
    ShuttingDown {
        /// When to ask again.
        retry_after: Duration,
    },
    /// The store is down, too slow, full or not set up, or has a record that cannot be read.
    StoreUnavailable {
        /// What is wrong with it.
        kind: StoreErrorKind,
        /// When to ask again.
        retry_after: Duration,
    },
    /// Transaction mode: the operation ran, and the store failed while it was to be committed. It was rolled back, or
    /// nobody can say at the moment whether it was; the same request tells when it is sent again.
    CommitUnconfirmed {
        /// What is wrong with the store.
        kind: StoreErrorKind,
        /// When to ask again.
        retry_after: Duration,
    },
    /// Transaction mode: the handler kept the transaction that it was lent, ended it, or left it so
    /// that it cannot be committed, by a deferred constraint or a role. It was rolled back, and the
    /// log says why.
    TransactionLost,
}

/// The status that a request gets whose key stands for another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnMismatch {
    /// 409, as for every other refusal that a key is the reason of.
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
    /// The status of the refusal.
    pub fn status(&self) -> StatusCode {
        self.spec().status
    }

    /// The `code` member of the problem document: stable, for programs to act on.
    pub fn code(&self) -> &'static str {
        self.spec().code
    }

    /// When to send the request again, if that may help.
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
    /// `Some(true)` if a retry is safe and useful although its status does not say so. The client reads
    /// it in `X-Should-Retry`.
    pub fn should_retry(&self) -> Option<bool> {
        self.spec().should_retry
    }

    /// The status of the answer that the operation first had, where the refusal tells of one.
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

    /// Adds what every refusal carries however it was rendered: the headers that clients act on, and the refusal
    /// itself for the layers outside.
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
        self.keep_location(headers);
        response.extensions_mut().insert(self);
    }

    fn keep_location(&self, headers: &mut HeaderMap) {
        if let Self::ResultNotRetained { location: Some(location), .. } = self {
            headers.insert(header::LOCATION, location.clone());
        }
    }
}

/// `Retry-After` counts in whole seconds; rounded up, for 0 would ask for a retry at once.
fn whole_seconds(duration: Duration) -> u64 {
    let up = u64::from(duration.subsec_nanos() > 0);
    duration.as_secs().saturating_add(up).max(1)
}
