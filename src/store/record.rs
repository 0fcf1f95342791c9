//! The [`Record`]: what a store knows of a key.

use std::fmt;

use super::Token;
use crate::record::fingerprint::Fingerprint;
use crate::record::outcome::Outcome;

/// What a store knows of a key.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Record {
    /// The request that the key is bound to.
    pub fingerprint: Fingerprint,
    /// The number of the latest attempt. An attempt that was released, and so put an earlier record
    /// back, counts too.
    pub attempt: u32,
    /// The token of that attempt.
    pub token: Token,
    /// The state of that attempt.
    pub state: State,
}

impl Record {
    /// The record of one attempt.
    pub fn new(fingerprint: Fingerprint, attempt: u32, token: Token, state: State) -> Self {
        Self { fingerprint, attempt, token, state }
    }

    /// Whether an attempt may have had an effect and none has given a definitive response: the
    /// attempt of the record was cut off or failed, or it runs after such an attempt.
    pub fn is_in_doubt(&self) -> bool {
        match self.state {
            State::Pending { abandoned } => abandoned || self.attempt > 1,
            State::Failed(_) => true,
            State::Success(_) => false,
        }
    }

    /// The word for the state of the record.
    pub fn status(&self) -> RecordStatus {
        match self.state {
            State::Pending { .. } => RecordStatus::Pending,
            State::Success(_) => RecordStatus::Success,
            State::Failed(_) => RecordStatus::Failed,
        }
    }
}

/// The state of an attempt, with the response that is stored for it.
///
/// It is exhaustive on purpose. A store must store each state, so a new one is an error of the
/// compiler and not a wildcard arm that stores it as something else.
#[derive(Debug, Clone)]
pub enum State {
    /// It runs, or it was cut off.
    Pending {
        /// The lease has lapsed, by the clock of the store: it was cut off.
        abandoned: bool,
    },
    /// It ended with a definitive response.
    Success(Outcome),
    /// It ended without one. Contains the failed response, if there was one.
    Failed(Option<Outcome>),
}

/// The status of a record, in the words that stores write and operators see.
///
/// It is exhaustive for the same reason as [`State`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordStatus {
    /// The attempt runs, or was cut off.
    Pending,
    /// The attempt ended with a definitive response.
    Success,
    /// The attempt ended without one.
    Failed,
}

impl fmt::Display for RecordStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failed => "failed",
        })
    }
}
