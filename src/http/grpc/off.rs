//! Treats every request as plain HTTP, because the feature `grpc` is off.
#![expect(clippy::unused_self, reason = "with the feature it makes a difference")]

use http::{HeaderMap, Response, StatusCode};

use crate::http::class::ResponseClass;
use crate::http::rejection::Recognized;
use crate::http::response::StoredResponse;
use crate::record::outcome::{Outcome, StoredBody};

#[derive(Clone)]
pub(crate) struct Protocol;

impl Protocol {
    pub(crate) fn of(_: &HeaderMap) -> Self {
        Self
    }

    pub(crate) fn of_response(&self, _: &HeaderMap) -> Self {
        Self
    }

    pub(crate) fn encode_rejection<R>(&self, response: R) -> R {
        response
    }

    pub(crate) fn is_read_to_its_end(&self) -> bool {
        false
    }

    pub(crate) fn classify<B>(
        &self,
        response: &Response<B>,
        _: Option<&StoredBody>,
        over_http: ResponseClass,
    ) -> (ResponseClass, StatusCode) {
        (over_http, response.status())
    }

    pub(crate) fn level(&self, level: StoredResponse) -> StoredResponse {
        level
    }

    pub(crate) fn rejection<B>(
        &self,
        response: &Response<B>,
        body: &StoredBody,
    ) -> Option<Recognized> {
        let StoredBody::Whole { bytes, .. } = body else {
            return None;
        };
        Recognized::in_problem(response.status(), response.headers(), bytes)
    }

    pub(crate) fn outcome(&self, _: StatusCode, outcome: Outcome) -> Outcome {
        outcome
    }

    pub(crate) fn replayed<R>(&self, replay: R) -> R {
        replay
    }
}
