//! gRPC: rejections as statuses, and responses judged by their `grpc-status`. Needs the feature `grpc`.
//!
//! A request is gRPC if its `Content-Type` is `application/grpc`, or that with a suffix such as
//! `+proto`. Nothing is to be switched on: one layer may guard calls over gRPC and requests over
//! plain HTTP side by side. The key is metadata, `x-idempotency-key`. The layer knows nothing of
//! tonic, and has no dependency on it; the example `grpc` shows the whole stack.
//!
//! The scope is a verified account, which the authentication outside of the layer puts into the
//! extensions. It is not the credential: a refreshed token would make a retry a new operation, and
//! so a second payment. The credential is also a secret.
//!
//! ```
//! use tonic::service::InterceptorLayer;
//! use tonic::{Request, Status};
//! use tower::ServiceBuilder;
//! use tower_idempotency::{IdempotencyLayer, MemoryStore, RequestBody, Scope};
//!
//! #[derive(Clone)]
//! struct Account(u64);
//!
//! /// Verifies the token, and says whose it is. A real service has more than one account.
//! fn authenticate(mut call: Request<()>) -> Result<Request<()>, Status> {
//!     if call.metadata().get("authorization").is_none_or(|token| token != "Bearer token-of-alice") {
//!         return Err(Status::unauthenticated("no account has this token"));
//!     }
//!     call.extensions_mut().insert(Account(1));
//!     Ok(call)
//! }
//!
//! let layer = IdempotencyLayer::new(MemoryStore::new())
//!     .namespace("bank")
//!     .scope(|parts| match parts.extensions.get::<Account>() {
//!         Some(Account(id)) => Scope::new(id.to_be_bytes()),
//!         None => Scope::anonymous(),
//!     });
//! let stack = ServiceBuilder::new()
//!     .layer(InterceptorLayer::new(authenticate))
//!     // The body of tonic cannot be made from bytes, so it is wrapped before the layer sees it.
//!     .map_request(|request: http::Request<tonic::body::Body>| request.map(RequestBody::new))
//!     .layer(layer)
//!     .into_inner();
//! let server = tonic::transport::Server::builder().layer(stack);
//! # drop(server);
//! ```
//!
//! # Unary calls
//!
//! The status of a call comes last, in the trailers, so the layer reads an answer to its end before it gives it to the
//! client, up to [`max_response`](crate::IdempotencyLayer::max_response). For a unary call that changes nothing. **A streaming
//! answer would be held back until its end or that limit, and a call that streams in both directions would wait for ever**, for a
//! request is read to its end before it runs: send such calls without a key, or lay the layer around the other services only.
//!
//! A replay has the metadata, the message and the trailers of the first answer, byte for byte: status, message, details, and
//! whatever the handler added. `x-idempotent-result: true` stands in its headers, which tonic gives as metadata of the
//! response, or of the status if there is no response.
//!
//! With less than [`StoredResponse::Full`] nothing is kept of an answer, and a repeat is refused as `ALREADY_EXISTS`: without its trailers
//! a status would say nothing.
//!
//! An answer larger than the limit goes to the client whole and is taken for `OK`: a unary call that fails has no message.
//! A repeat is refused as `ALREADY_EXISTS`.
//!
//! # What an answer means for the key
//!
//! | class | codes | a retry |
//! |---|---|---|
//! | success | `OK`, `NOT_FOUND`, `ALREADY_EXISTS` | gets the same response |
//! | forgotten | `INVALID_ARGUMENT`, `FAILED_PRECONDITION`, `OUT_OF_RANGE`, `UNAUTHENTICATED`, `PERMISSION_DENIED`, `RESOURCE_EXHAUSTED`, `UNIMPLEMENTED`, and an `ABORTED` that says when to retry | after a first attempt: runs as if this call had not been, and the client may change its request and keep its key. While the operation is in doubt: runs in doubt, and another request is `ALREADY_EXISTS`; the client must look first, and take no new key |
//! | failed | `CANCELLED`, `UNKNOWN`, `DEADLINE_EXCEEDED`, any other `ABORTED`, `INTERNAL`, `UNAVAILABLE`, `DATA_LOSS`, and no status at all | runs again, unless [`OnFailed`](crate::OnFailed) says otherwise |
//!
//! An `ABORTED` says when to retry by `grpc-retry-pushback-ms` of 0 and more, by `retry-after`, or by a
//! `google.rpc.RetryInfo`. A negative pushback says that a retry is of no use.
//!
//! [`ResponseClass::of_grpc`] says why, and a handler's [`ResponseDirective`](crate::ResponseDirective) comes before it. Before both comes a
//! [`Rejection`](crate::Rejection) of another layer, which is never stored. The record of
//! a call has the status that `code.proto` maps its code to, 404 for `NOT_FOUND` and 503 for `UNAVAILABLE`. By that go
//! [`Attempt::previous`](crate::Attempt::previous), and what transaction mode commits.
//!
//! A [`classify`](crate::IdempotencyLayer::classify) is not asked about them: it sees the head of an answer, which is 200 for
//! nearly every call, and a rule that was written for HTTP would make a success of each failure. It is asked about an answer to
//! a gRPC request that is not gRPC itself: that of a layer which knows only HTTP, for example.
//!
//! # Rejections
//!
//! A rejection is a response that has trailers only, with the HTTP status 200. It has:
//!
//! - `grpc-status`: the code in the table of [`Rejection::code`](crate::Rejection::code),
//! - `grpc-message`: the detail,
//! - `grpc-status-details-bin`: a `google.rpc.ErrorInfo`, whose `reason` is the
//!   [code](crate::Rejection::code) of the rejection in capitals and whose `domain` is `tower-idempotency`,
//! - in the same header a `google.rpc.RetryInfo`, where the table has `Retry-After`,
//! - `grpc-retry-pushback-ms`: how long to wait, or `-1` where a retry is of no use,
//! - `retry-after` and `x-should-retry`, as over HTTP.
//!
//! The [`Rejection`](crate::Rejection) is in the extensions of the response. A
//! [`rejection_response`](crate::IdempotencyLayer::rejection_response) can add metadata, and changes none of these.
//!
//! The codes follow the advice in `code.proto`:
//!
//! - `UNAVAILABLE` where the client can retry just the call,
//! - `ABORTED` where the call lost to a concurrent one,
//! - `FAILED_PRECONDITION` where the client must look first,
//! - `RESOURCE_EXHAUSTED` for a large message, as gRPC's own servers say.
//!
//! So a client whose [retry policy](https://github.com/grpc/proposal/blob/master/A6-client-retries.md)
//! has `UNAVAILABLE` and `ABORTED` as `retryableStatusCodes` retries the right ones. **Its retries have
//! the same metadata, so the same key**, and the client follows `grpc-retry-pushback-ms`. The codes of
//! handlers mean the same to it: it retries `UNAVAILABLE`, and the operation runs again under its key.
//!
//! # What to know besides
//!
//! - Repeat the bytes, not only the meaning: Protocol Buffers may write the fields of a map in any order, and a message that is
//!   compressed in one call and not in the next is another one. The retries of gRPC itself send the same bytes.
//! - A deadline (`grpc-timeout`) and the encodings that a client accepts are no part of the fingerprint. A replay is compressed as
//!   the first answer was.
//! - tonic's `Server::timeout` and a client that cancels end the wait, not the handler: the answer is kept for the repeat.
//! - The status of a call without a message stands in its headers: a list of
//!   [`store_only_headers`](crate::IdempotencyLayer::store_only_headers) names `content-type`, `grpc-status`, `grpc-message` and
//!   `grpc-status-details-bin`.
//! - gRPC-Web is another protocol with trailers in its body: `tonic_web::GrpcWebLayer` belongs outside of this layer, which then
//!   sees gRPC. In the other order its answers are judged as plain HTTP.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::Body;

use super::body::ResponseBody;
use super::rejection::Recognized;
use super::response::StoredResponse;
use crate::http::class::ResponseClass;
use crate::record::outcome::{NotRetained, Outcome, StoredBody};

mod code;
mod details;
mod metadata;
mod refusal;

pub use code::Code;
use metadata::Metadata;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
/// What the retries of gRPC's own clients heed (gRFC A6): milliseconds to wait, or less than 0 for no
/// retry at all.
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
const ESSENCE: &str = "application/grpc";

/// Whether a request or an answer is gRPC, by its `Content-Type`. gRPC-Web is not.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    content_type(headers).is_some()
}

/// The `Content-Type` without its parameters, if it is one of gRPC.
fn content_type(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(header::CONTENT_TYPE)?;
    // Most are not, and that is soon seen.
    let start = value.as_bytes().get(..ESSENCE.len())?;
    if !start.eq_ignore_ascii_case(ESSENCE.as_bytes()) {
        return None;
    }
    let essence = value.to_str().ok()?.split(';').next()?.trim();
    let suffix = &essence[ESSENCE.len()..];
    if suffix.is_empty() || suffix.starts_with('+') { HeaderValue::from_str(essence).ok() } else { None }
}

/// How a request is answered.
#[derive(Clone)]
pub(crate) struct Protocol {
    /// What the answer is, if it is gRPC.
    grpc: Option<HeaderValue>,
}

impl Protocol {
    pub(crate) fn of(request: &HeaderMap) -> Self {
        Self { grpc: content_type(request) }
    }

    /// The protocol of the answer: what a client says of its request makes no gRPC of an answer that is not.
    pub(crate) fn of_answer(&self, answer: &HeaderMap) -> Self {
        let is_grpc = || is_grpc(answer) || answer.contains_key(STATUS);
        Self { grpc: self.grpc.clone().filter(|_| is_grpc()) }
    }

    /// The refusal as the client understands it.
    pub(crate) fn refusal<B: Body>(&self, refusal: Response<ResponseBody<B>>) -> Response<ResponseBody<B>> {
        match &self.grpc {
            Some(content_type) => refusal::over_grpc(refusal, content_type),
            None => refusal,
        }
    }

    /// Whether an answer is read although nobody knows how long it will be.
    pub(crate) fn is_read_to_its_end(&self) -> bool {
        self.grpc.is_some()
    }

    /// What an answer that was read means for the key, and the status of its record; one that broke off has failed. The status
    /// over HTTP is 200 for nearly every call, and stores go by it.
    pub(crate) fn judged<B>(
        &self,
        answer: &Response<B>,
        body: Option<&StoredBody>,
        over_http: ResponseClass,
    ) -> (ResponseClass, StatusCode) {
        match (&self.grpc, body) {
            (None, _) => (over_http, answer.status()),
            (Some(_), None) => (ResponseClass::Failed, Code::Unknown.over_http()),
            (Some(_), Some(body)) => {
                let trailers = match body {
                    StoredBody::Whole { trailers, .. } => trailers.as_ref(),
                    _ => None,
                };
                let metadata = Metadata::of(answer, trailers);
                let is_unread = !matches!(body, StoredBody::Whole { .. }) && !metadata.has_status();
                // Its status is in trailers that were not read. A unary call that fails has no message.
                if is_unread && answer.status() == StatusCode::OK {
                    return (ResponseClass::Success, Code::Ok.over_http());
                }
                (metadata.class(), metadata.code().unwrap_or(Code::Unknown).over_http())
            }
        }
    }

    /// How much of an answer is kept. Without its trailers it would say nothing, so it is all or nothing.
    pub(crate) fn keep(&self, keep: StoredResponse) -> StoredResponse {
        match (&self.grpc, keep) {
            (Some(_), StoredResponse::Full) | (None, _) => keep,
            (Some(_), _) => StoredResponse::Nothing,
        }
    }

    /// The rejection of another layer that a response tells of, if it does.
    pub(crate) fn rejection<B>(&self, answer: &Response<B>, body: &StoredBody) -> Option<Recognized> {
        let StoredBody::Whole { bytes, trailers } = body else {
            return None;
        };
        if self.grpc.is_none() {
            return Recognized::in_problem(answer.status(), answer.headers(), bytes);
        }
        let reason = Metadata::of(answer, trailers.as_ref()).details().reason?;
        let code = std::str::from_utf8(&reason).ok()?.to_ascii_lowercase();
        // A reason that only a later version knows may tell of an operation that had begun.
        Some(Recognized::by_code(&code, |_| true).unwrap_or(Recognized { had_begun: true }))
    }

    /// What is stored of a response that was judged. Of a failure that is not to be replayed it is the
    /// status alone, because its headers may be a message to the client.
    pub(crate) fn kept(&self, status: StatusCode, mut outcome: Outcome) -> Outcome {
        if self.grpc.is_some() {
            outcome.status = status;
            if outcome.body == StoredBody::NotRetained(NotRetained::Failure) {
                outcome.headers = HeaderMap::new();
            }
        }
        outcome
    }

    /// A replay, under the status that the answer had over HTTP and not the one of its record.
    pub(crate) fn replayed<B: Body>(
        &self,
        mut replay: Response<ResponseBody<B>>,
    ) -> Response<ResponseBody<B>> {
        if self.of_answer(replay.headers()).grpc.is_some() {
            *replay.status_mut() = StatusCode::OK;
        }
        replay
    }
}

#[cfg(test)]
mod tests;
