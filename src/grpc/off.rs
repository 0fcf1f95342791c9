//! Takes every request for plain HTTP: the feature `grpc` is off.
#![expect(clippy::unused_self, reason = "with the feature it makes a difference")]

use http::{HeaderMap, Response};
use http_body::Body;

use crate::body::ResponseBody;
use crate::config::{Class, Config};
use crate::outcome::KeptBody;
use crate::rejection::Rejection;
use crate::response::Keep;

#[derive(Clone)]
pub(crate) struct Protocol;

impl Protocol {
    pub(crate) fn of(_: &HeaderMap) -> Self {
        Self
    }

    pub(crate) fn refuse<B: Body>(&self, config: &Config, rejection: Rejection) -> Response<ResponseBody<B>> {
        config.refuse(rejection)
    }

    pub(crate) fn is_read_to_its_end(&self) -> bool {
        false
    }

    pub(crate) fn limit(&self, config: &Config, class: Class) -> Option<usize> {
        config.kept_bytes(class)
    }

    pub(crate) fn keep(&self, keep: Keep) -> Keep {
        keep
    }

    pub(crate) fn judged<R, E>(
        &self,
        _: &Config,
        _: &R,
        _: Option<Class>,
        class: Class,
        kept: Result<KeptBody, E>,
    ) -> (Class, Result<KeptBody, E>) {
        (class, kept)
    }
}
