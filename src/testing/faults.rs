//! The faults of two responses, and their likely causes.

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response};

use crate::http::class::ResponseClass;
use crate::http::rejection::Rejection;
use crate::http::response::{BODY, RESULT};
use crate::settings::KEY_HEADERS;

/// A request and its retry.
pub(super) struct Seen<'a> {
    pub(super) request: &'a Parts,
    pub(super) first: &'a Response<Bytes>,
    pub(super) retry: &'a Response<Bytes>,
    /// `None` if effects are not counted.
    pub(super) effects_of_first: Option<i64>,
    pub(super) effects_of_retry: Option<i64>,
}

impl Seen<'_> {
    /// The first fault, in the order in which a developer would look for it.
    pub(super) fn fault(&self) -> Option<String> {
        let faults = [
            rejected("the request", self.first),
            self.replayed_at_once(),
            self.not_one_effect(),
            rejected("the retry", self.retry),
            self.ran_again(),
            self.effect_of_retry(),
            self.other_response(),
        ];
        faults.into_iter().flatten().next()
    }

    fn replayed_at_once(&self) -> Option<String> {
        (marker(self.first) == Some("true")).then(|| {
            "the first response is a replay already: an earlier request had this key. Use a key, \
             or a store, of its own for each test"
                .into()
        })
    }

    fn not_one_effect(&self) -> Option<String> {
        let effects = self.effects_of_first.filter(|effects| *effects != 1)?;
        let status = self.first.status();
        Some(format!(
            "the first request had {effects} effects, not 1; its response is {status}. Does the \
             handler run, and does the count see its effect?"
        ))
    }

    fn ran_again(&self) -> Option<String> {
        if marker(self.retry) == Some("true") {
            return None;
        }
        if [self.first, self.retry].map(marker).contains(&Some("unguarded")) {
            return Some(
                "the retry ran the handler again: the store is down, and `on_outage` lets \
                 operations run without a record"
                    .into(),
            );
        }
        let (method, path) = (&self.request.method, self.request.uri.path());
        let mut text = format!(
            "the retry of {method} {path} ran the handler again: its response, {}, is without \
             `X-Idempotent-Result: true`. Check:",
            self.retry.status()
        );
        for check in self.checks() {
            text.push_str("\n  - ");
            text.push_str(&check);
        }
        Some(text)
    }

    /// Causes that the request or the response shows come first.
    fn checks(&self) -> Vec<String> {
        let mut checks = Vec::new();
        if !KEY_HEADERS.iter().any(|name| self.request.headers.contains_key(name)) {
            checks.push(
                "The request has neither `X-Idempotency-Key` nor `Idempotency-Key`: is its key \
                 where the layer looks for it?"
                    .into(),
            );
        }
        let method = &self.request.method;
        if ![Method::POST, Method::PATCH].contains(method) {
            checks.push(format!(
                "{method} is not guarded by default: is it in `IdempotencyLayer::methods`?"
            ));
        }
        let status = self.first.status();
        match ResponseClass::of(status) {
            ResponseClass::Discard => checks.push(format!(
                "The first response is {status}, which says that nothing happened. By default it \
                 leaves no record, and a retry runs: see the guide `statuses`."
            )),
            ResponseClass::Failed => checks.push(format!(
                "The first response is {status}, a failure. By default a retry runs the operation \
                 again: see `IdempotencyLayer::on_failed`."
            )),
            ResponseClass::Success | ResponseClass::Abandoned => {}
        }
        checks.push(
            "Is the layer on this route? `Router::route_layer` covers the routes that were added \
             before it."
                .into(),
        );
        checks.push("Is the `scope` the same for both requests?".into());
        checks
    }

    fn effect_of_retry(&self) -> Option<String> {
        let effects = self.effects_of_retry.filter(|effects| *effects != 0)?;
        Some(format!(
            "the retry got the stored response, and had {effects} effects: is one of them outside \
             of the layer, or does the first request go on after its response?"
        ))
    }

    fn other_response(&self) -> Option<String> {
        let (first, retry) = (self.first, self.retry);
        if first.status() != retry.status() {
            return Some(format!(
                "the replay has the status {}, and the first response {}: does a layer outside of \
                 this one change the status?",
                retry.status(),
                first.status()
            ));
        }
        if first.body() == retry.body() {
            return None;
        }
        if retry.headers().contains_key(BODY) {
            return Some(
                "the replay is without the body of the first response, because `stored_response` \
                 is less than `Full`: assert the status and the headers instead"
                    .into(),
            );
        }
        Some(format!(
            "the replay has another body than the first response: does a layer outside of this one \
             change it?\n  first: {}\n  retry: {}",
            shown(first.body()),
            shown(retry.body())
        ))
    }
}

/// What the layer says of the response.
fn marker(response: &Response<Bytes>) -> Option<&str> {
    response.headers().get(RESULT)?.to_str().ok()
}

fn rejected(what: &str, response: &Response<Bytes>) -> Option<String> {
    let rejection: &Rejection = response.extensions().get()?;
    let (status, code) = (response.status(), rejection.code());
    Some(format!(
        "the layer rejected {what} with {status}, `{code}`: {rejection}{}",
        cause(rejection)
    ))
}

/// Likely causes in a test.
fn cause(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::KeyReused { .. } => {
            ". An earlier request had this key; or a layer outside of this one changes the path, \
             the content type or the body of a request each time"
        }
        Rejection::ResultNotRetained { .. } => {
            ". Is the response streamed or compressed inside of the layer, larger than \
             `max_response`, or withheld by `stored_response`?"
        }
        Rejection::InFlight { .. } => {
            ". Another request with this key runs: does each test have a key of its own?"
        }
        Rejection::ScopeMissing => {
            ". Is the authentication outside of the layer, and does the request pass it?"
        }
        _ => "",
    }
}

/// The start of a body.
fn shown(body: &Bytes) -> String {
    const MOST: usize = 200;
    let text = String::from_utf8_lossy(&body[..body.len().min(MOST)]);
    let rest = body.len().saturating_sub(MOST);
    if rest > 0 { format!("{text:?} and {rest} bytes more") } else { format!("{text:?}") }
}
