//! Recognizing a rejection in a response of the inner service: that of a layer further in, or that
//! of a layer in another process.

use http::response::Parts;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::kinds::ALL;
use super::spec::Spec;
use super::{PROBLEM, Rejection};
use crate::http::headers::has_media_type;

/// A longer problem document is not read. Those of this crate have less than one kilobyte.
pub(crate) const LONGEST_PROBLEM: usize = 64 << 10;

/// What a layer outside can know of a rejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recognized {
    /// Whether the operation had begun, so that it may have had an effect.
    pub(crate) had_begun: bool,
}

impl Recognized {
    /// By the typed rejection that a layer in this process has left. A handler that gives a status
    /// of its own has mapped it to something else.
    pub(crate) fn in_extensions(head: &Parts, is_grpc: bool) -> Option<Self> {
        let rejection = head.extensions.get::<Rejection>()?;
        (is_grpc || rejection.status() == head.status).then(|| Self::by(rejection.spec()))
    }

    /// By the problem document of a response, if its status is one that the code has.
    pub(crate) fn in_problem(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        if !may_be_rejection(status, headers) {
            return None;
        }
        Self::by_code(&code(body)?, |spec| spec.statuses.contains(&status))
    }

    /// By its code, if what is fixed about it agrees with the response.
    pub(crate) fn by_code(code: &str, agrees: impl Fn(&Spec) -> bool) -> Option<Self> {
        ALL.iter().find(|spec| spec.code == code && agrees(spec)).map(Self::by)
    }

    fn by(spec: &Spec) -> Self {
        Self { had_begun: spec.had_begun }
    }
}

/// Whether the body can be the problem document of a rejection. It reads the head only.
pub(crate) fn may_be_rejection(status: StatusCode, headers: &HeaderMap) -> bool {
    (status.is_client_error() || status.is_server_error()) && is_problem(headers)
}

/// Whether the body is a problem document (RFC 9457).
pub(crate) fn is_problem(headers: &HeaderMap) -> bool {
    has_media_type(headers, PROBLEM)
}

/// The `code` member of a problem document.
pub(crate) fn code(problem: &[u8]) -> Option<String> {
    if problem.len() > LONGEST_PROBLEM {
        return None;
    }
    let problem: Value = serde_json::from_slice(problem).ok()?;
    problem["code"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests;
