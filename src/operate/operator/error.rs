//! The error of an operator's request.

use std::fmt;

use super::{InvalidResponse, InvalidText};
use crate::store::StoreError;

/// The error of an operator's request.
#[derive(Debug)]
#[non_exhaustive]
pub enum OperatorError {
    /// The store failed. A change may have taken effect: send it again.
    Store(StoreError),
    /// The name of the operator or the reason cannot be stored.
    Text(InvalidText),
    /// Clients cannot get the response.
    Response(InvalidResponse),
}

impl fmt::Display for OperatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Text(error) => error.fmt(f),
            Self::Response(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OperatorError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(error) => error.source(),
            Self::Text(_) | Self::Response(_) => None,
        }
    }
}

impl From<StoreError> for OperatorError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<InvalidText> for OperatorError {
    fn from(error: InvalidText) -> Self {
        Self::Text(error)
    }
}

impl From<InvalidResponse> for OperatorError {
    fn from(error: InvalidResponse) -> Self {
        Self::Response(error)
    }
}
