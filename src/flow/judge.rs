//! The fourth await: what a response means for its key, and what is stored of it.

use bytes::Bytes;
use http::{HeaderValue, Response};
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
use crate::store::Conflict;

/// Judges a response of the inner service, and captures what is to be stored of it.
///
/// The first of these that applies says what it means: a [`ResponseDirective`] that the attempt failed, a rejection by another layer of
/// this crate, any other verdict of the handler, the classifier (over gRPC the status of the call).
pub(super) async fn judge<B>(
    answer: Response<B>,
    config: &Config,
    protocol: &Protocol,
    request_id: Option<HeaderValue>,
) -> Done<Response<ResponseBody<B>>>
where
    B: Body<Data = Bytes>,
{
    let (mut head, body) = answer.into_parts();
    // That of a service behind the handler would make a replay of a first answer.
    head.headers.remove(response::RESULT);
    let conflict = head.extensions.remove::<Conflict>().is_some();
    let verdict = head.extensions.remove::<ResponseDirective>().unwrap_or_default();
    let protocol = protocol.of_response(&head.headers);
    // What another layer of this crate has rejected is no response of the handler.
    let rejected = Recognized::in_extensions(&head, protocol.is_read_to_its_end());
    // The handler knows best that it had an effect before.
    let failed = verdict.class_override().filter(|class| *class == ResponseClass::Failed);
    let said = failed.or(rejected.map(ResponseClass::of_rejection)).or(verdict.class_override());
    let by_head = said.unwrap_or_else(|| (config.classify)(&head));
    let may_be_rejection = rejected.is_none() && may_be_rejection(head.status, &head.headers);
    let needed = may_be_rejection.then_some(LONGEST_PROBLEM);
    let limit = config.bytes_to_read(&protocol, by_head).max(needed);
    let to_its_end = may_be_rejection || protocol.is_read_to_its_end();

    let (answer, body) = response::capture(head, body, limit, to_its_end, config.capture_timeout).await;

    let (by_status, status) = protocol.classify(&answer, body.as_ref().ok(), by_head);
    let rejected = rejected.or_else(|| protocol.rejection(&answer, body.as_ref().ok()?));
    let class = failed.or(rejected.map(ResponseClass::of_rejection)).or(said).unwrap_or(by_status);
    let keep = protocol.level(verdict.level_override().unwrap_or(config.stored.level));
    let outcome = body.and_then(|body| {
        if rejected.is_some() {
            return Ok(Outcome::bare(status, StoredBody::NotRetained(NotRetained::Failure)));
        }
        let body = body.within(config.kept_bytes(class));
        let outcome = protocol.outcome(status, config.stored.outcome(&answer, request_id, body, keep));
        // A replay of such a status would be no HTTP response: the attempt has failed, without one.
        if outcome.has_final_status() { Ok(outcome) } else { Err(BrokenBody) }
    });
    let retention = verdict.retention_override().unwrap_or(config.retention);
    Done { answer, class, outcome, retention, conflict }
}
