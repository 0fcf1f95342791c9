//! A record as operators ask for it: everything but the response.

use std::time::Duration;

use bytes::Bytes;

use super::fields::Labelled;
use super::{Attempt, Pending, START, Start};
use crate::record::frame::DecodeError;
use crate::record::key::StorageKey;
use crate::record::outcome;
use crate::store::RecordStatus;
use crate::store::operator::{RecordInfo, RecordState};

/// A record as operators ask for it, apart from its remaining time.
pub(in crate::store::redis) struct Glance {
    attempt: Attempt,
    /// A pending record is read as in flight, because that depends on its age.
    state: RecordState,
    pending: Option<Pending>,
    labelled: Labelled,
    /// The length of the body.
    bytes: usize,
    frame: Bytes,
}

impl Glance {
    /// Reads a frame, which may be cut short behind the length of the body.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the frame is cut short before that, or malformed.
    pub(in crate::store::redis) fn of(frame: Bytes) -> Result<Self, DecodeError> {
        let mut labelled = Labelled::default();
        let Start { status, attempt, pending, rest } =
            Start::read(frame.clone(), |tag, value| labelled.read(tag, value))?;
        let (state, bytes) = match status {
            RecordStatus::Pending if rest.is_empty() => (RecordState::InFlight, 0),
            RecordStatus::Pending => return Err(DecodeError),
            RecordStatus::Failed if rest.is_empty() => (RecordState::Failed { status: None }, 0),
            RecordStatus::Failed => {
                let outcome = outcome::Glance::of(rest)?;
                (RecordState::Failed { status: Some(outcome.status) }, outcome.bytes)
            }
            RecordStatus::Success => {
                let outcome::Glance { status, kind, bytes } = outcome::Glance::of(rest)?;
                (RecordState::succeeded(status, kind), bytes)
            }
        };
        Ok(Self { attempt, state, pending, labelled, bytes, frame })
    }

    /// Of an abandoned record: all of it, and the remaining time in milliseconds at which its lease
    /// has lapsed. Of another one: what changes when it is taken over, put back or settled.
    pub(in crate::store::redis) fn identity(&self, seen: RecordState) -> (&[u8], Option<usize>) {
        match self.pending {
            Some(pending) if seen == RecordState::Abandoned => {
                (&self.frame, Some(pending.lapsed_at()))
            }
            _ => (&self.frame[..START], None),
        }
    }

    /// The record with its remaining time in milliseconds, as the server says it.
    pub(in crate::store::redis) fn info(&self, key: StorageKey, left: i64) -> RecordInfo {
        let left = u64::try_from(left).ok();
        let is_lapsed =
            |pending: Pending| left.is_some_and(|left| left <= pending.lapsed_at() as u64);
        let state = match self.pending {
            Some(pending) if is_lapsed(pending) => RecordState::Abandoned,
            _ => self.state,
        };
        let retention = match self.pending {
            Some(pending) => Some(pending.retention as u64),
            None => self.labelled.retention,
        };
        let changed_ago = retention
            .zip(left)
            .map(|(retention, left)| Duration::from_millis(retention.saturating_sub(left)));
        let reserved_ago =
            changed_ago.zip(self.labelled.took).map(|(changed, took)| changed.saturating_add(took));
        RecordInfo {
            key,
            fingerprint: self.attempt.fingerprint,
            attempt: self.attempt.number,
            token: self.attempt.token,
            state,
            label: self.labelled.label(),
            scope: self.labelled.scope,
            reserved_ago,
            changed_ago,
            expires_in: left.map(Duration::from_millis),
            bytes: self.bytes as u64,
        }
    }
}
