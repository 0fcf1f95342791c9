//! What an operator cannot store as the end of an operation.

use std::fmt;

use http::StatusCode;

use super::Settle;
use crate::record::outcome::{Outcome, StoredBody, is_final};

/// The end of an operation that a record cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidResponse {
    /// The status is not that of a final response, which is 200 to 599. A record with it counts as
    /// damaged.
    Status(StatusCode),
    /// A response with this status has no body.
    Body(StatusCode),
}

impl fmt::Display for InvalidResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => {
                write!(f, "a status is 200 to 599, and this one is {}", status.as_u16())
            }
            Self::Body(status) => {
                write!(f, "a response with the status {} has no body", status.as_u16())
            }
        }
    }
}

impl std::error::Error for InvalidResponse {}

/// No content, reset content, not modified.
const BODILESS: [u16; 3] = [204, 205, 304];

impl Settle {
    /// Whether a client can get it.
    pub(super) fn checked(&self) -> Result<(), InvalidResponse> {
        let status = match self {
            Self::Respond(outcome) => Some(outcome.status),
            Self::Fail(status) => *status,
            Self::Conclude(status) => Some(*status),
        };
        if let Some(status) = status.filter(|status| !is_final(*status)) {
            return Err(InvalidResponse::Status(status));
        }
        match self {
            Self::Respond(Outcome {
                status, body: StoredBody::Whole { bytes, trailers }, ..
            }) if BODILESS.contains(&status.as_u16())
                && (!bytes.is_empty() || trailers.is_some()) =>
            {
                Err(InvalidResponse::Body(*status))
            }
            _ => Ok(()),
        }
    }
}
