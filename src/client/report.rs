//! [`Report`]: what a response or an error means.

use http::{Response, StatusCode};

use crate::client::disposition::Disposition;
use crate::record::key::IdempotencyKey;

/// What the client knows about an operation when it returns a result. [`Reported`] gets it from any
/// response or error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub(crate) disposition: Disposition,
    pub(crate) status: Option<StatusCode>,
    pub(crate) is_in_doubt: bool,
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) attempts: u32,
}

impl Report {
    /// What the result means. An error always means [`Disposition::Unknown`].
    pub fn disposition(&self) -> Disposition {
        self.disposition
    }

    /// The status of the operation's response. `None` for an error.
    ///
    /// If the server did not store that response (`idempotency_result_not_retained`), this is its
    /// `original_status`.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// Whether an attempt may have had an effect, but no response reported it. A result that is
    /// [`Disposition::Unknown`] and not in doubt means that nothing happened.
    pub fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// The key of the operation. The caller can continue under it, or look the operation up. `None`
    /// if the request has no key, or one that this crate cannot read.
    pub fn key(&self) -> Option<&IdempotencyKey> {
        self.key.as_ref()
    }

    /// How many attempts were made. An attempt counts even if its connection failed.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }
}

/// A result with a [`Report`]: a response, an error, or a `Result` of both.
///
/// ```
/// use tower_idempotency::client::{Disposition, Reported};
///
/// /// Whether the application can store the outcome.
/// fn is_settled(result: &impl Reported) -> bool {
///     result.report().is_some_and(|report| report.disposition() == Disposition::Final)
/// }
/// ```
pub trait Reported {
    /// The report. `None` if the result does not come from this client, or if the request had no
    /// key.
    fn report(&self) -> Option<&Report>;
}

impl<B> Reported for Response<B> {
    fn report(&self) -> Option<&Report> {
        self.extensions().get()
    }
}

impl<T: Reported, E: Reported> Reported for Result<T, E> {
    fn report(&self) -> Option<&Report> {
        match self {
            Ok(response) => response.report(),
            Err(error) => error.report(),
        }
    }
}
