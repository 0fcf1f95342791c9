//! gRPC: rejections as statuses, and responses judged by their `grpc-status`. Needs the feature
//! `grpc`.
//!
//! A request is gRPC if its `Content-Type` is `application/grpc`, with or without a suffix such as
//! `+proto`. There is no setting to turn on: one layer can guard gRPC calls and plain HTTP requests
//! side by side. The key is metadata, `x-idempotency-key`. The layer does not depend on tonic. The
//! example `grpc` shows the whole stack.
//!
//! Use a verified account as the scope. The authentication outside of the layer puts it into the
//! extensions. Do not use the credential: after a token refresh, a retry would be a new operation
//! and so a second payment. The credential is also a secret.
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
//! /// Verifies the token and finds its account. A real service has more than one account.
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
//!     .scope(|parts| {
//!         let Account(id) = parts.extensions.get()?;
//!         Some(Scope::new(id.to_be_bytes()))
//!     });
//! let stack = ServiceBuilder::new()
//!     .layer(InterceptorLayer::new(authenticate))
//!     // tonic's body does not implement `From<Bytes>`, so it is wrapped before the layer sees it.
//!     .map_request(|request: http::Request<tonic::body::Body>| request.map(RequestBody::new))
//!     .layer(layer)
//!     .into_inner();
//! let server = tonic::transport::Server::builder().layer(stack);
//! # drop(server);
//! ```
//!
//! # Unary calls
//!
//! The status of a call comes last, in the trailers. So the layer reads a response to its end
//! before it passes it to the client, up to
//! [`max_response`](crate::IdempotencyLayer::max_response). For a unary call this changes nothing.
//!
//! **Do not guard streaming calls.** The layer would delay a streaming response until its end or
//! that limit. A call that streams in both directions would wait forever, because the layer reads a
//! request to its end before the call runs. Send such calls without a key, or apply the layer to
//! the other services only.
//!
//! A replay has the metadata, the message and the trailers of the first response, byte for byte.
//! This includes the status, its message, its details, and all that the handler added. Its
//! headers contain `x-idempotent-result: true`. tonic exposes these headers as metadata of the
//! response, or of the status if there is no response.
//!
//! The layer stores all of a response or [nothing](StoredResponse::Nothing), because a response
//! without its trailers has no status. With less than [`StoredResponse::Full`] it rejects a retry
//! with `ALREADY_EXISTS`.
//!
//! A response larger than the limit goes to the client whole. The layer treats it as `OK`, because
//! a unary call that fails has no message. It rejects a retry with `ALREADY_EXISTS`.
//!
//! # What a response means for its key
//!
//! | class | codes | a retry |
//! |---|---|---|
//! | success | `OK`, `NOT_FOUND`, `ALREADY_EXISTS` | receives the same response |
//! | discarded | `INVALID_ARGUMENT`, `FAILED_PRECONDITION`, `OUT_OF_RANGE`, `UNAUTHENTICATED`, `PERMISSION_DENIED`, `RESOURCE_EXHAUSTED`, `UNIMPLEMENTED`, and an `ABORTED` that says when to retry | see below |
//! | failed | `CANCELLED`, `UNKNOWN`, `DEADLINE_EXCEEDED`, any other `ABORTED`, `INTERNAL`, `UNAVAILABLE`, `DATA_LOSS`, and no status at all | runs again, unless [`OnFailed`](crate::OnFailed) says otherwise |
//!
//! After a discarded response to a first attempt, a retry runs as a first attempt. The client may
//! change its request and use the same key. While the operation is in doubt, a retry runs in doubt,
//! and a different request is rejected with `ALREADY_EXISTS`. The client must then find out what
//! was done. It must not use a new key.
//!
//! An `ABORTED` says when to retry by `grpc-retry-pushback-ms` of 0 or more, by `retry-after`, or
//! by a `google.rpc.RetryInfo`. A negative pushback says that a retry is useless.
//!
//! [`ResponseClass::of_grpc`] gives the reasons. A handler's
//! [`ResponseDirective`](crate::ResponseDirective) overrides the class. A
//! [`Rejection`](crate::Rejection) of another layer overrides both, except
//! [`ResponseDirective::failed`](crate::ResponseDirective::failed), and is never stored.
//!
//! The record of a call has the HTTP status that `code.proto` maps its code to, for example 404 for
//! `NOT_FOUND` and 503 for `UNAVAILABLE`. [`Attempt::previous`](crate::Attempt::previous) reports
//! this status, and transaction mode uses it to decide what to commit.
//!
//! A [`classify`](crate::IdempotencyLayer::classify) function does not decide about gRPC responses.
//! It sees the head of a response, which has the status 200 for nearly every call. A rule written
//! for HTTP would turn each failure into a success. The layer does call it if the response to a
//! gRPC request is not gRPC. A layer that knows only HTTP gives such a response.
//!
//! # Rejections
//!
//! A rejection is a response with trailers only. It has:
//!
//! - the HTTP status 200, `grpc-status` and `grpc-message`;
//! - in `grpc-status-details-bin` a `google.rpc.ErrorInfo`. Its `reason` is the
//!   [code](crate::Rejection::code) in capitals, and its `domain` is `tower-idempotency`;
//! - in the same details a `google.rpc.RetryInfo`, if the rejection says when to retry;
//! - `retry-after` and `x-should-retry` in its metadata, as over HTTP;
//! - the [`Rejection`](crate::Rejection) in its extensions.
//!
//! A [`rejection_response`](crate::IdempotencyLayer::rejection_response) can add metadata. It
//! cannot change the rest.
//!
//! The table of [`Rejection::code`](crate::Rejection::code) has the gRPC code of each rejection,
//! and what the client does. The codes follow the advice in `code.proto`:
//!
//! - `UNAVAILABLE` where the client can retry just the call;
//! - `ABORTED` where the call lost to a concurrent one;
//! - `FAILED_PRECONDITION` where the client must not retry until the state is fixed.
//!
//! So a client retries the right rejections if its [retry
//! policy](https://github.com/grpc/proposal/blob/master/A6-client-retries.md) lists `UNAVAILABLE`
//! and `ABORTED` as `retryableStatusCodes`. **Its retries have the same metadata, so the same
//! key.** Each rejection adds `grpc-retry-pushback-ms` for the policy: how long to wait, or `-1`
//! where a retry is useless. The policy treats a handler's codes in the same way: after an
//! `UNAVAILABLE` it retries, and the operation runs again under its key.
//!
//! # Notes
//!
//! - A retry must send the same bytes, not only the same meaning. Protocol Buffers may write the
//!   fields of a map in any order. A message that is compressed in one call and not in the next is
//!   a different message. The retries of gRPC itself send the same bytes.
//! - The fingerprint does not include the deadline (`grpc-timeout`) or the encodings that a client
//!   accepts. A replay is compressed as the first response was.
//! - tonic's `Server::timeout` and a client that cancels end the wait, not the handler. The layer
//!   stores the response for the retry.
//! - A call without a message has its status in its headers. A list of
//!   [`store_only_headers`](crate::IdempotencyLayer::store_only_headers) must name `content-type`,
//!   `grpc-status`, `grpc-message` and `grpc-status-details-bin`.
//! - gRPC-Web is another protocol, with trailers in its body. Apply `tonic_web::GrpcWebLayer`
//!   outside of this layer, which then sees gRPC. In the other order the layer judges its responses
//!   as plain HTTP.

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
mod rejection;

pub use code::Code;
use metadata::Metadata;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
/// The header that gRPC's own client retries obey (gRFC A6): milliseconds to wait, or a negative
/// number to prevent a retry.
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
const ESSENCE: &str = "application/grpc";

/// Whether a request or a response is gRPC, by its `Content-Type`. gRPC-Web is not.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    content_type(headers).is_some()
}

/// The `Content-Type` without its parameters, if it is gRPC.
fn content_type(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(header::CONTENT_TYPE)?;
    // The fast path: most requests are not gRPC.
    let start = value.as_bytes().get(..ESSENCE.len())?;
    if !start.eq_ignore_ascii_case(ESSENCE.as_bytes()) {
        return None;
    }
    let essence = value.to_str().ok()?.split(';').next()?.trim();
    let suffix = &essence[ESSENCE.len()..];
    if suffix.is_empty() || suffix.starts_with('+') {
        HeaderValue::from_str(essence).ok()
    } else {
        None
    }
}

/// The protocol of the response to a request: plain HTTP or gRPC.
#[derive(Clone)]
pub(crate) struct Protocol {
    /// The content type of the response, if it is gRPC.
    grpc: Option<HeaderValue>,
}

impl Protocol {
    pub(crate) fn of(request: &HeaderMap) -> Self {
        Self { grpc: content_type(request) }
    }

    /// The protocol of this response. A response to a gRPC request is not always gRPC itself.
    pub(crate) fn of_response(&self, response: &HeaderMap) -> Self {
        let is_grpc = || is_grpc(response) || response.contains_key(STATUS);
        Self { grpc: self.grpc.clone().filter(|_| is_grpc()) }
    }

    /// Converts a rejection into the protocol of the client.
    pub(crate) fn encode_rejection<B: Body>(
        &self,
        response: Response<ResponseBody<B>>,
    ) -> Response<ResponseBody<B>> {
        match &self.grpc {
            Some(content_type) => rejection::over_grpc(response, content_type),
            None => response,
        }
    }

    /// Whether the layer reads a response of unknown length to its end.
    pub(crate) fn is_read_to_its_end(&self) -> bool {
        self.grpc.is_some()
    }

    /// Returns the class of a response after its body was read, and the status of its record. A
    /// response that broke off has failed. Stores use the status of the record, because the HTTP
    /// status is 200 for nearly every call.
    pub(crate) fn classify<B>(
        &self,
        response: &Response<B>,
        body: Option<&StoredBody>,
        over_http: ResponseClass,
    ) -> (ResponseClass, StatusCode) {
        match (&self.grpc, body) {
            (None, _) => (over_http, response.status()),
            (Some(_), None) => (ResponseClass::Failed, Code::Unknown.over_http()),
            (Some(_), Some(body)) => {
                let trailers = match body {
                    StoredBody::Whole { trailers, .. } => trailers.as_deref(),
                    _ => None,
                };
                let metadata = Metadata::of(response, trailers);
                let is_unread = !matches!(body, StoredBody::Whole { .. }) && !metadata.has_status();
                // The status is in trailers that were not read. A unary call that fails has no
                // message.
                if is_unread && response.status() == StatusCode::OK {
                    return (ResponseClass::Success, Code::Ok.over_http());
                }
                (metadata.class(), metadata.code().unwrap_or(Code::Unknown).over_http())
            }
        }
    }

    /// Returns how much of a response is stored. Over gRPC it is all or nothing, because a response
    /// without its trailers has no status.
    pub(crate) fn level(&self, level: StoredResponse) -> StoredResponse {
        match (&self.grpc, level) {
            (Some(_), StoredResponse::Full) | (None, _) => level,
            (Some(_), _) => StoredResponse::Nothing,
        }
    }

    /// Finds the rejection of another layer in a response.
    pub(crate) fn rejection<B>(
        &self,
        response: &Response<B>,
        body: &StoredBody,
    ) -> Option<Recognized> {
        let StoredBody::Whole { bytes, trailers } = body else {
            return None;
        };
        if self.grpc.is_none() {
            return Recognized::in_problem(response.status(), response.headers(), bytes);
        }
        let reason = Metadata::of(response, trailers.as_deref()).details().reason?;
        let code = std::str::from_utf8(&reason).ok()?.to_ascii_lowercase();
        // A later version may have defined an unknown reason. Its operation may have begun.
        Some(Recognized::by_code(&code, |_| true).unwrap_or(Recognized { had_begun: true }))
    }

    /// Returns the outcome to store for a classified response. A failure that is not replayed
    /// contains the status alone, because its headers may contain a message to the client.
    pub(crate) fn outcome(&self, status: StatusCode, mut outcome: Outcome) -> Outcome {
        if self.grpc.is_some() {
            outcome.status = status;
            if outcome.body == StoredBody::NotRetained(NotRetained::Failure) {
                outcome.headers = HeaderMap::new();
            }
        }
        outcome
    }

    /// Gives a replay the HTTP status of the first response instead of the status of its record.
    pub(crate) fn replayed<B: Body>(
        &self,
        mut replay: Response<ResponseBody<B>>,
    ) -> Response<ResponseBody<B>> {
        if self.of_response(replay.headers()).grpc.is_some() {
            *replay.status_mut() = StatusCode::OK;
        }
        replay
    }
}

#[cfg(test)]
mod tests;
