//! What the upstream is told of its attempt, and what it says of its response.

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Response};
use tower_idempotency::{Attempt, PreviousAttempt, ResponseDirective};

const ATTEMPT: HeaderName = HeaderName::from_static("x-idempotency-attempt");
const PREVIOUS: HeaderName = HeaderName::from_static("x-idempotency-previous");
const IN_DOUBT: HeaderName = HeaderName::from_static("x-idempotency-in-doubt");
const DOWNSTREAM_KEY: HeaderName = HeaderName::from_static("x-idempotency-downstream-key");
const DIRECTIVE: HeaderName = HeaderName::from_static("x-idempotency-directive");

/// The purpose of the downstream key that the upstream gets.
const PURPOSE: &str = "upstream";

/// Tells the upstream which attempt it is.
pub(super) fn tell(headers: &mut HeaderMap, attempt: &Attempt) {
    headers.insert(ATTEMPT, HeaderValue::from(attempt.number()));
    headers.insert(IN_DOUBT, HeaderValue::from_static(in_words(attempt.is_in_doubt())));
    if let Some(previous) = attempt.previous().and_then(previous_in_words) {
        headers.insert(PREVIOUS, previous);
    }
    if let Ok(key) = HeaderValue::try_from(attempt.downstream_key(PURPOSE)) {
        headers.insert(DOWNSTREAM_KEY, key);
    }
}

/// Tells the upstream that the request was sent before, without a response.
pub(super) fn is_in_doubt(headers: &mut HeaderMap) {
    headers.insert(IN_DOUBT, HeaderValue::from_static(in_words(true)));
}

fn in_words(is_so: bool) -> &'static str {
    if is_so { "true" } else { "false" }
}

fn previous_in_words(previous: PreviousAttempt) -> Option<HeaderValue> {
    match previous {
        PreviousAttempt::Failed { status: Some(status) } => {
            HeaderValue::try_from(format!("failed; status={}", status.as_u16())).ok()
        }
        PreviousAttempt::Failed { status: None } => Some(HeaderValue::from_static("failed")),
        PreviousAttempt::Abandoned => Some(HeaderValue::from_static("abandoned")),
        _ => None,
    }
}

/// Heeds the directive of the upstream for its response, and what a response means that breaks off.
pub(super) fn heed<B>(response: &mut Response<B>) {
    let said = response.headers().get(DIRECTIVE).map(HeaderValue::as_bytes);
    let directive = match said {
        Some(b"success") => ResponseDirective::success(),
        Some(b"failed") => ResponseDirective::failed(),
        Some(b"discard") => ResponseDirective::discard(),
        Some(b"abandoned") => ResponseDirective::abandoned(),
        Some(_) => {
            tracing::warn!(
                "the upstream sent a x-idempotency-directive that is none of success, failed, \
                 discard and abandoned: it is ignored"
            );
            ResponseDirective::new()
        }
        None => ResponseDirective::new(),
    };
    let directive = directive.abandoned_if_cut_off();
    let is_endless = is_of_events(response.headers());
    let directive = if is_endless { directive } else { directive.read_to_its_end() };
    response.extensions_mut().insert(directive);
}

/// Whether the client waits for each part of the body. The parts of others are read first, because
/// many servers send every response in chunks, and a retry must get it.
fn is_of_events(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// Removes the directive, which clients do not get.
pub(super) fn remove(headers: &mut HeaderMap) {
    headers.remove(DIRECTIVE);
}
