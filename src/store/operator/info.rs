//! A record as operators see it: everything but the response.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::record::fingerprint::Fingerprint;
use crate::record::key::{ScopeDigest, StorageKey};
use crate::record::label::RecordLabel;
use crate::record::outcome::{Kind, NotRetained, Outcome};
use crate::store::{Record, RecordStatus, State, Token};

/// A record as operators see it: everything but the response.
///
/// Times are durations by the clock of the store. `None`: the store does not know it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RecordInfo {
    /// The name of the record.
    pub key: StorageKey,
    /// See [`Record::fingerprint`].
    pub fingerprint: Fingerprint,
    /// See [`Record::attempt`].
    pub attempt: u32,
    /// See [`Record::token`].
    pub token: Token,
    /// The state of that attempt.
    pub state: RecordState,
    /// The namespace and the route. `None`: the layer does not
    /// [label](crate::IdempotencyLayer::label_records) its records.
    pub label: Option<Arc<RecordLabel>>,
    /// The scope. `None` as for the label.
    pub scope: Option<ScopeDigest>,
    /// How long ago the key was reserved. On Redis: how long ago the latest attempt was.
    pub reserved_ago: Option<Duration>,
    /// How long ago the record was last written. A renewal of the lease counts too.
    pub changed_ago: Option<Duration>,
    /// How long the record stays.
    pub expires_in: Option<Duration>,
    /// The size of the stored response in bytes, as far as the store knows it.
    pub bytes: u64,
}

/// The state of a record as operators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordState {
    /// The attempt runs, as far as the store knows.
    InFlight,
    /// The lease of the attempt has lapsed: its process ended, was cut off from the store, or was
    /// suspended.
    Abandoned,
    /// The attempt ended without a definitive response.
    Failed {
        /// The status of the response, if there was one.
        status: Option<StatusCode>,
    },
    /// The attempt ended with a definitive response.
    Success {
        /// The status of the response.
        status: StatusCode,
        /// Why it cannot be replayed. `None`: it can.
        not_retained: Option<NotRetained>,
        /// Whether it is compressed or encrypted.
        is_packed: bool,
    },
}

impl RecordInfo {
    /// The record of a key, with nothing known about its age, its operation and its size.
    pub fn new(key: StorageKey, record: &Record) -> Self {
        let bytes = match &record.state {
            State::Success(outcome) | State::Failed(Some(outcome)) => outcome.bytes().len(),
            State::Pending { .. } | State::Failed(None) => 0,
        };
        Self {
            key,
            fingerprint: record.fingerprint,
            attempt: record.attempt,
            token: record.token,
            state: RecordState::of(&record.state),
            label: None,
            scope: None,
            reserved_ago: None,
            changed_ago: None,
            expires_in: None,
            bytes: bytes as u64,
        }
    }

    /// Whether an attempt may have had an effect and none has given a definitive response: see
    /// [`Record::is_in_doubt`].
    pub fn is_in_doubt(&self) -> bool {
        match self.state {
            RecordState::InFlight => self.attempt > 1,
            RecordState::Abandoned | RecordState::Failed { .. } => true,
            RecordState::Success { .. } => false,
        }
    }

    /// Whether this is still the record that an operator saw. An abandoned record is another one if
    /// its attempt has renewed its lease.
    pub fn is_as_seen(&self, seen: &Self) -> bool {
        self.token == seen.token
            && self.attempt == seen.attempt
            && self.state.status() == seen.state.status()
            && (seen.state != RecordState::Abandoned || self.state == RecordState::Abandoned)
    }
}

impl RecordState {
    /// The state of a record.
    pub fn of(state: &State) -> Self {
        match state {
            State::Pending { abandoned: false } => Self::InFlight,
            State::Pending { abandoned: true } => Self::Abandoned,
            State::Failed(outcome) => {
                Self::Failed { status: outcome.as_ref().map(|outcome| outcome.status) }
            }
            State::Success(Outcome { status, body, .. }) => Self::succeeded(*status, body.kind()),
        }
    }

    /// The state of an attempt that gave a response with this status and this kind of body.
    pub(crate) fn succeeded(status: StatusCode, kind: Kind) -> Self {
        let not_retained = match kind {
            Kind::NotRetained(reason) => Some(reason),
            Kind::PackedNotRetained => Some(NotRetained::Unknown),
            Kind::Whole | Kind::Packed | Kind::Omitted => None,
        };
        let is_packed = matches!(kind, Kind::Packed | Kind::PackedNotRetained);
        Self::Success { status, not_retained, is_packed }
    }

    /// Whether clients get the response.
    pub(crate) fn is_replayed(self) -> bool {
        matches!(self, Self::Success { not_retained: None, .. })
    }

    /// The status in the words of the store.
    pub fn status(self) -> RecordStatus {
        match self {
            Self::InFlight | Self::Abandoned => RecordStatus::Pending,
            Self::Failed { .. } => RecordStatus::Failed,
            Self::Success { .. } => RecordStatus::Success,
        }
    }

    /// The state in one word: `in-flight`, `abandoned`, `failed`, `success` or `not-retained`.
    pub fn word(self) -> &'static str {
        match self {
            Self::InFlight => "in-flight",
            Self::Abandoned => "abandoned",
            Self::Failed { .. } => "failed",
            Self::Success { not_retained: None, .. } => "success",
            Self::Success { not_retained: Some(_), .. } => "not-retained",
        }
    }
}
