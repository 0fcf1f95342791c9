//! The fourth await: decides what a response means for its key, and which part of it is stored.

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue, Response};
use http_body::Body;

use super::once::Done;
use crate::handler::directive::ResponseDirective;
use crate::http::body::ResponseBody;
use crate::http::class::ResponseClass;
use crate::http::grpc::Protocol;
use crate::http::rejection::{LONGEST_PROBLEM, Recognized, may_be_rejection};
use crate::http::response::{self, BrokenBody};
use crate::record::outcome::{NotRetained, Outcome, StoredBody};
use crate::settings::Config;
use crate::settings::warned::Warning;
use crate::store::{Conflict, MaybeConflict};

/// Classifies a response of the inner service, and captures the part that is stored.
///
/// The first of these that applies gives the class:
///
/// 1. a [`ResponseDirective`] that says that the attempt failed or was abandoned,
/// 2. a rejection by another layer of this crate,
/// 3. any other [`ResponseDirective`],
/// 4. the classifier, or over gRPC the status of the call.
#[expect(clippy::manual_async_fn, reason = "an async fn would store its arguments twice")]
pub(super) fn judge<B>(
    response: Response<B>,
    config: &Config,
    protocol: &Protocol,
    request_id: Option<HeaderValue>,
) -> impl Future<Output = Done<Response<ResponseBody<B>>>> + Send
where
    B: Body<Data = Bytes> + Send,
    B::Error: Send,
{
    async move {
        let (mut head, body) = response.into_parts();
        // With the marker of a service behind the handler, a first response would look like a replay.
        head.headers.remove(response::RESULT);
        let is_conflict = head.extensions.remove::<Conflict>().is_some();
        let conflict = match head.extensions.remove::<MaybeConflict>() {
            _ if is_conflict => Some(true),
            searched => searched.map(MaybeConflict::is_conflict),
        };
        let directive = head.extensions.remove::<ResponseDirective>().unwrap_or_default();
        let protocol = protocol.of_response(&head.headers);
        // A rejection by another layer of this crate is not a response of the handler.
        let rejected = Recognized::in_extensions(&head, protocol.is_read_to_its_end());
        // The handler knows best that it may have had an effect before.
        let doubt = directive.doubt();
        let said =
            doubt.or(rejected.map(ResponseClass::of_rejection)).or(directive.class_override());
        let by_head = said.unwrap_or_else(|| (config.classify)(&head));
        let may_be_rejection = rejected.is_none() && may_be_rejection(head.status, &head.headers);
        let needed = may_be_rejection.then_some(LONGEST_PROBLEM);
        let limit = config.bytes_to_read(&protocol, by_head).max(needed);
        let to_its_end =
            may_be_rejection || protocol.is_read_to_its_end() || directive.is_read_to_its_end();

        let (whole, body) =
            response::capture(body, limit, to_its_end, config.capture_timeout).await;
        let response = Response::from_parts(head, whole);

        let (by_status, status) = protocol.classify(&response, body.as_ref().ok(), by_head);
        let rejected = rejected.or_else(|| protocol.rejection(&response, body.as_ref().ok()?));
        let class =
            doubt.or(rejected.map(ResponseClass::of_rejection)).or(said).unwrap_or(by_status);
        let class = match body {
            Err(BrokenBody)
                if directive.is_abandoned_if_cut_off() && class != ResponseClass::Discard =>
            {
                ResponseClass::Abandoned
            }
            _ => class,
        };
        match &body {
            _ if rejected.is_some() => warn_of_rejection(config),
            Ok(StoredBody::NotRetained(NotRetained::Streamed))
                if !matches!(class, ResponseClass::Discard | ResponseClass::Abandoned) =>
            {
                warn_of_stream(config, response.headers());
            }
            _ => {}
        }
        let level = protocol.level(directive.level_override().unwrap_or(config.stored.level));
        let outcome = body.and_then(|body| {
            if rejected.is_some() {
                return Ok(Outcome::new(status, StoredBody::NotRetained(NotRetained::Failure)));
            }
            let body = body.within(config.stored_bytes(class));
            let outcome =
                protocol.outcome(status, config.stored.outcome(&response, request_id, body, level));
            // Any other status cannot be replayed over HTTP, so the attempt failed without a response.
            if outcome.has_final_status() { Ok(outcome) } else { Err(BrokenBody) }
        });
        let retention = directive.retention_override().unwrap_or(config.retention);
        Done { response, class, outcome, retention, conflict }
    }
}

/// Tells that anyone can fill the store, with paths that do not exist.
pub(super) fn warn_of_missing_route<B>(done: &Done<Response<B>>, config: &Config) {
    if done.response.status().as_u16() == 404
        && done.class == ResponseClass::Success
        && config.warned.is_first(Warning::NoRoute)
    {
        tracing::warn!(
            "the 404 of a path without a route is stored, so anyone can fill the store: add the \
             idempotency layer by `Router::route_layer` in place of `Router::layer`"
        );
    }
}

fn warn_of_rejection(config: &Config) {
    if config.warned.is_first(Warning::OtherRejection) {
        tracing::warn!(
            "a response of the handler is a rejection by another idempotency layer, so it is not \
             stored: give the two layers one store, namespace and secret, or give the inner \
             service the downstream key of the attempt"
        );
    }
}

fn warn_of_stream(config: &Config, headers: &HeaderMap) {
    if headers.contains_key(CONTENT_ENCODING) {
        if config.warned.is_first(Warning::Compressed) {
            tracing::warn!(
                "a compressed response is not stored, because its length is unknown: a retry gets \
                 409; put the compression outside of the idempotency layer"
            );
        }
    } else if config.warned.is_first(Warning::Streamed) {
        tracing::warn!(
            "a response is not stored, because its length is unknown: a retry gets 409; let the \
             handler collect the body, or send its length"
        );
    }
}
