//! Why a fragment does not fit a document.

use std::error::Error;
use std::fmt;

use http::Method;

/// Why a fragment could not be added to a document.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApplyError {
    /// The document has no such operation.
    NoOperation {
        /// The path, as it was asked for. It is compared as text, templates included.
        path: String,
        /// The method.
        method: Method,
    },
    /// The layer does not guard this method, so it adds nothing to the operation.
    NotGuarded {
        /// The method.
        method: Method,
    },
    /// The layer guards none of the operations of the document.
    NothingGuarded,
    /// A reference to another document, or one that leads nowhere or in a circle.
    UnknownReference {
        /// The reference.
        reference: String,
    },
    /// A response or a parameter is not an object.
    NotAnObject {
        /// What it is.
        found: String,
    },
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOperation { path, method } => {
                write!(f, "the document has no operation {method} {path}")
            }
            Self::NotGuarded { method } => write!(
                f,
                "the layer does not guard {method}: set `IdempotencyLayer::methods`, or leave the \
                 operation as it is"
            ),
            Self::NothingGuarded => {
                f.write_str("the layer guards the method of no operation of the document")
            }
            Self::UnknownReference { reference } => {
                write!(f, "the document refers to {reference}, which is not in it")
            }
            Self::NotAnObject { found } => {
                write!(f, "a response or parameter of the document is not an object: {found}")
            }
        }
    }
}

impl Error for ApplyError {}
