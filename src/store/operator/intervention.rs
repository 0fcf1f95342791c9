//! A change of a record by an operator, and its audit entry.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::RecordInfo;
use crate::record::outcome::Outcome;
use crate::store::{RecordStatus, State, Token};

/// A change of a record by an operator.
///
/// The store carries it out in one atomic step: if the record is still the one that the operator
/// saw ([`RecordInfo::is_as_seen`]), it changes the record and writes the audit entry. Otherwise it
/// changes nothing.
///
/// If the record is another one, the store looks for the id in the history of the key. So it
/// recognizes an intervention that it has carried out before.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Intervention {
    /// The record as the operator saw it.
    pub seen: RecordInfo,
    /// What it becomes.
    pub becomes: Becomes,
    /// The entry. The store sets the time. Its [id](AuditEntry::id) is also the token of the record
    /// that is written, so that the attempt which had the record before has lost its lease.
    pub entry: AuditEntry,
    /// How long the audit entry stays.
    pub audit_retention: Duration,
}

impl Intervention {
    /// A change of the record that the operator saw.
    pub fn new(
        seen: RecordInfo,
        becomes: Becomes,
        entry: AuditEntry,
        audit_retention: Duration,
    ) -> Self {
        Self { seen, becomes, entry, audit_retention }
    }
}

/// What an operator makes of a record.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there is one for each change of an operator")]
pub enum Becomes {
    /// The key is free.
    Free,
    /// The record succeeded or failed, with the number of the attempt that it had.
    Ended {
        /// Success or failed, with the response as it is stored.
        state: State,
        /// How long the record stays.
        retention: Duration,
    },
}

impl Becomes {
    /// The status and the response of the record that is written. `None`: the key is free.
    pub fn ended(&self) -> Option<(RecordStatus, Option<&Outcome>, Duration)> {
        match self {
            Self::Free | Self::Ended { state: State::Pending { .. }, .. } => None,
            Self::Ended { state: State::Success(outcome), retention } => {
                Some((RecordStatus::Success, Some(outcome), *retention))
            }
            Self::Ended { state: State::Failed(outcome), retention } => {
                Some((RecordStatus::Failed, outcome.as_ref(), *retention))
            }
        }
    }
}

/// What an operator did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OperatorAction {
    /// Said that nothing happened, and freed the key.
    Release,
    /// Stored the response that clients get from now on.
    Respond,
    /// Said that the operation failed.
    Fail,
    /// Said that the operation was done, without a response for clients.
    Conclude,
    /// Deleted the record.
    Erase,
}

impl OperatorAction {
    const ALL: [Self; 5] = [Self::Release, Self::Respond, Self::Fail, Self::Conclude, Self::Erase];

    /// The action in one word, which stores write.
    pub fn word(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Respond => "respond",
            Self::Fail => "fail",
            Self::Conclude => "conclude",
            Self::Erase => "erase",
        }
    }

    /// The action of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.word() == word)
    }
}

impl fmt::Display for OperatorAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What an operator did to a record, who it was, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditEntry {
    /// Identifies the intervention. The same change of the same record has the same id.
    pub id: Token,
    /// When, by the clock of the store.
    pub at: SystemTime,
    /// What was done.
    pub action: OperatorAction,
    /// Who did it: 1 to 128 bytes without control characters.
    pub by: String,
    /// Why: 1 to 1,024 bytes without control characters.
    pub reason: String,
    /// The state that the record had, as [`RecordState::word`](super::RecordState::word) says it.
    pub was: String,
    /// The attempt of that record.
    pub attempt: u32,
}

impl AuditEntry {
    /// An entry. A store sets [`at`](Self::at) by its own clock.
    pub fn new(
        id: Token,
        action: OperatorAction,
        by: &str,
        reason: &str,
        seen: &RecordInfo,
    ) -> Self {
        Self {
            id,
            at: SystemTime::UNIX_EPOCH,
            action,
            by: by.to_owned(),
            reason: reason.to_owned(),
            was: seen.state.word().to_owned(),
            attempt: seen.attempt,
        }
    }
}

/// The audit entries of a key, the oldest first. A store keeps at least the last 100.
pub type History = Vec<AuditEntry>;

/// What a store knows of a key.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Shown {
    /// The record, if there is one.
    pub record: Option<RecordInfo>,
    /// What operators did. It stays longer than the record.
    pub history: History,
}

impl Shown {
    /// A record and its history.
    pub fn new(record: Option<RecordInfo>, history: History) -> Self {
        Self { record, history }
    }
}

/// The result of an intervention.
#[derive(Debug, Clone)]
#[must_use = "the record may have changed since the operator saw it"]
pub enum Intervened {
    /// The record was changed.
    Applied,
    /// The same intervention was carried out before. Nothing was changed now.
    AlreadyApplied,
    /// The record is no longer the one that the operator saw. Nothing was changed. Contains the
    /// record as it is now; `None`: there is none.
    Moved(Option<Box<RecordInfo>>),
}
