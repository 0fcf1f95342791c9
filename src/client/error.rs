//! Why there is no answer.

use std::error::Error as StdError;
use std::fmt;

use crate::key::IdempotencyKey;

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// Why an operation has no answer.
///
/// [`is_open`](Self::is_open) tells whether it may have been done all the same. If so it must be repeated under the same
/// key, if at all: with an [`Operation`](super::Operation), the key is still there.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    attempts: u32,
    key: Option<IdempotencyKey>,
    source: Option<BoxError>,
}

/// What kept the answer away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The connection failed, before the request was sent, or before the answer had come, or in the middle of it.
    Connection,
    /// The answer of the last attempt did not come in time.
    Timeout,
    /// The body of the request is larger than `max_request`. Nothing was sent.
    TooLarge,
    /// The body of the request could not be read to its end, or not in `total_timeout`. Nothing was sent.
    Unreadable,
    /// The header for the key is empty. Nothing was sent.
    Key,
    /// The key of the [`Operation`](super::Operation) is so old that the server may have forgotten it. Nothing was sent
    /// this time.
    Expired,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, attempts: u32, source: Option<BoxError>) -> Self {
        Self { kind, attempts, key: None, source }
    }

    pub(crate) fn tell(&mut self, attempts: u32, key: Option<&IdempotencyKey>) {
        self.attempts = attempts;
        self.key = key.cloned();
    }

    /// What kept the answer of the last attempt away.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// How often the request was sent, or was about to be.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The key under which the request was sent, so that the caller can go on under it, or ask what became of the
    /// operation. `None` if nothing was sent, if the request had no key, or if its key is none that this crate can read.
    pub fn key(&self) -> Option<&IdempotencyKey> {
        self.key.as_ref()
    }

    /// Whether the operation may have been done, by this call or, if its key has expired, by an earlier one.
    pub fn is_open(&self) -> bool {
        matches!(self.kind, ErrorKind::Connection | ErrorKind::Timeout | ErrorKind::Expired)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempts = self.attempts;
        match self.kind {
            ErrorKind::Connection => {
                write!(f, "the connection failed in attempt {attempts}, so that the outcome is unknown")
            }
            ErrorKind::Timeout => {
                write!(f, "attempt {attempts} had no answer in time, so that the outcome is unknown")
            }
            ErrorKind::TooLarge => f.write_str("the request is too large to be repeated, and was not sent"),
            ErrorKind::Unreadable => f.write_str("the request could not be read, and was not sent"),
            ErrorKind::Key => f.write_str("the key of the request is empty, and it was not sent"),
            ErrorKind::Expired => f.write_str(
                "the server may have forgotten the key of the operation, which was not sent again",
            ),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
