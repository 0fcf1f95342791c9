//! Records and writes, as the messages of the checks show them.

use std::fmt;

use crate::record::outcome::{Outcome, StoredBody};
use crate::store::{Record, State};

/// A write that settles a lease.
#[derive(Clone, Copy)]
pub(super) enum Write<'a> {
    Complete(&'a Outcome),
    Fail(Option<&'a Outcome>),
    Release,
    Renew,
}

impl Write<'_> {
    /// The operation of the store that makes it.
    pub(super) fn operation(&self) -> &'static str {
        match self {
            Self::Complete(_) => "complete",
            Self::Fail(_) => "fail",
            Self::Release => "release",
            Self::Renew => "renew",
        }
    }

    /// The state of a record that it was applied to. A release leaves none.
    pub(super) fn leaves(&self) -> State {
        match self {
            Self::Complete(outcome) => State::Success((*outcome).clone()),
            Self::Fail(outcome) => State::Failed(outcome.cloned()),
            Self::Release | Self::Renew => State::Pending { abandoned: false },
        }
    }
}

/// Describes the response of the write. The place follows it in a message.
impl fmt::Display for Write<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete(outcome) | Self::Fail(Some(outcome)) => {
                write!(f, "a response of {} bytes, ", outcome.bytes().len())
            }
            Self::Fail(None) => f.write_str("no response, "),
            Self::Release | Self::Renew => Ok(()),
        }
    }
}

/// A record as a message shows it.
pub(super) fn told(record: &Record) -> String {
    Told(record).to_string()
}

/// A record as a message shows it: bodies can be long, so only their start is shown.
pub(super) struct Told<'a>(pub(super) &'a Record);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { fingerprint, attempt, token, state, .. } = self.0;
        match state {
            State::Pending { abandoned: false } => f.write_str("a pending record")?,
            State::Pending { abandoned: true } => f.write_str("an abandoned record")?,
            State::Success(outcome) => write!(f, "a success with {}", ToldOutcome(outcome))?,
            State::Failed(Some(outcome)) => write!(f, "a failure with {}", ToldOutcome(outcome))?,
            State::Failed(None) => f.write_str("a failure without a response")?,
        }
        write!(f, " (attempt {attempt}, {fingerprint:?}, {token:?})")
    }
}

struct ToldOutcome<'a>(&'a Outcome);

impl fmt::Display for ToldOutcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { status, headers, request_id, body, .. } = self.0;
        write!(f, "status {status}, {headers:?}, request id {request_id:?}, ")?;
        match body {
            StoredBody::Omitted => f.write_str("the body left out"),
            StoredBody::Packed(bytes) | StoredBody::PackedNotRetained(bytes) => {
                write!(f, "{} packed bytes {:?}..", bytes.len(), bytes.slice(..bytes.len().min(32)))
            }
            StoredBody::NotRetained(why) => write!(f, "no body ({why:?})"),
            StoredBody::Whole { bytes, trailers } => {
                let start = bytes.slice(..bytes.len().min(32));
                write!(f, "{} bytes {start:?}.., trailers {trailers:?}", bytes.len())
            }
        }
    }
}
