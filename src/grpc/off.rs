//! Takes every request for plain HTTP: the feature `grpc` is off.
#![expect(clippy::unused_self, reason = "with the feature it makes a difference")]

use http::HeaderMap;

use crate::config::{Class, Config};
use crate::outcome::KeptBody;

#[derive(Clone)]
pub(crate) struct Protocol;

impl Protocol {
    pub(crate) fn of(_: &HeaderMap) -> Self {
        Self
    }

    pub(crate) fn refusal<R>(&self, refusal: R) -> R {
        refusal
    }

    pub(crate) fn is_read_to_its_end(&self) -> bool {
        false
    }

    pub(crate) fn limit(&self, config: &Config, class: Class) -> Option<usize> {
        config.kept_bytes(class)
    }

    pub(crate) fn judged<R, E>(
        &self,
        _: &Config,
        _: &R,
        class: Class,
        kept: Result<KeptBody, E>,
    ) -> (Class, Result<KeptBody, E>) {
        (class, kept)
    }
}
