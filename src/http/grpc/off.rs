//! Takes every request for plain HTTP: the feature `grpc` is off.
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

    pub(crate) fn of_answer(&self, _: &HeaderMap) -> Self {
        Self
    }

    pub(crate) fn refusal<R>(&self, refusal: R) -> R {
        refusal
    }

    pub(crate) fn is_read_to_its_end(&self) -> bool {
        false
    }

    pub(crate) fn judged<B>(
        &self,
        answer: &Response<B>,
        _: Option<&StoredBody>,
        over_http: ResponseClass,
    ) -> (ResponseClass, StatusCode) {
        (over_http, answer.status())
    }

    pub(crate) fn keep(&self, keep: StoredResponse) -> StoredResponse {
        keep
    }

    pub(crate) fn rejection<B>(&self, answer: &Response<B>, body: &StoredBody) -> Option<Recognized> {
        let StoredBody::Whole { bytes, .. } = body else {
            return None;
        };
        Recognized::in_problem(answer.status(), answer.headers(), bytes)
    }

    pub(crate) fn kept(&self, _: StatusCode, outcome: Outcome) -> Outcome {
        outcome
    }

    pub(crate) fn replayed<R>(&self, replay: R) -> R {
        replay
    }
}
