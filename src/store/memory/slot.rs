//! One record of the memory store, and its changes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::claim::Claim;
use super::sync::{Notify, OwnedNotified};
use crate::record::fingerprint::Fingerprint;
use crate::record::key::{ScopeDigest, StorageKey};
use crate::record::label::RecordLabel;
use crate::record::outcome::Outcome;
use crate::store::operator::RecordInfo;
use crate::store::{Lease, Record, State, StoreError, StoreErrorKind, Token};

/// Times are the store's: durations since it was made.
pub(super) struct Slot {
    /// The share that the record counts in, from its first attempt on.
    pub(super) scope: ScopeDigest,
    pub(super) expires: Duration,
    pub(super) token: Token,
    pub(super) attempt: u32,
    pub(super) fingerprint: Fingerprint,
    pub(super) state: SlotState,
    /// Only operators ask for what follows.
    pub(super) key: StorageKey,
    pub(super) label: Option<Arc<RecordLabel>>,
    /// When the key was reserved.
    pub(super) reserved: Moment,
    /// When the record was last written.
    pub(super) changed: Moment,
}

/// A time as operators see it, in 4 bytes: sixteenths of a second, for eight years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u32);

impl Moment {
    pub(super) fn of(time: Duration) -> Self {
        Self(u32::try_from(time.as_millis() * 16 / 1000).unwrap_or(u32::MAX))
    }

    pub(super) fn numbered(number: u32) -> Self {
        Self(number)
    }

    pub(super) fn number(self) -> u32 {
        self.0
    }

    /// How long ago it was.
    pub(super) fn ago(self, now: Duration) -> Duration {
        Duration::from_secs(1) * Self::of(now).0.saturating_sub(self.0) / 16
    }
}

/// The state of the attempt, with its response in a frame.
pub(super) enum SlotState {
    Pending { lapses: Duration, waiters: Option<Arc<Notify>> },
    Success(Bytes),
    Failed(Option<Bytes>),
}

impl Slot {
    pub(super) fn pending(lease: &Lease, now: Duration) -> Self {
        Self {
            scope: lease.scope,
            expires: now.saturating_add(lease.retention),
            token: lease.token,
            attempt: lease.attempt,
            fingerprint: lease.fingerprint,
            state: SlotState::Pending { lapses: now.saturating_add(lease.lease), waiters: None },
            key: lease.key,
            label: lease.label.clone(),
            reserved: Moment::of(now),
            changed: Moment::of(now),
        }
    }

    /// The record that a released attempt leaves.
    pub(super) fn put_back(lease: &Lease, before: Record, now: Duration) -> Self {
        let Record { token, attempt, state, .. } = before;
        let state = match state {
            State::Failed(outcome) => SlotState::Failed(outcome.as_ref().map(frame)),
            State::Pending { .. } | State::Success(_) => {
                SlotState::Pending { lapses: now, waiters: None }
            }
        };
        Self { token, attempt, state, ..Self::pending(lease, now) }
    }

    pub(super) fn claim(&self) -> Claim {
        let Self { scope, expires, .. } = *self;
        Claim { scope, expires, bytes: Claim::bytes(self.state.len()) }
    }

    pub(super) fn is_pending_under(&self, lease: &Lease) -> bool {
        self.token == lease.token && matches!(self.state, SlotState::Pending { .. })
    }

    /// Ends the pending state. The state before comes back in `state`.
    pub(super) fn settle(&mut self, state: &mut SlotState, expires: Duration, now: Duration) {
        self.wake();
        std::mem::swap(&mut self.state, state);
        self.expires = expires;
        self.changed = Moment::of(now);
    }

    pub(super) fn renew(&mut self, lease: &Lease, now: Duration) {
        // Its waiters wait for the end of the lease that is given up.
        if lease.lease.is_zero() {
            self.wake();
        }
        if let SlotState::Pending { lapses, .. } = &mut self.state {
            *lapses = now.saturating_add(lease.lease);
            self.expires = now.saturating_add(lease.retention);
            self.changed = Moment::of(now);
        }
    }

    pub(super) fn record(&self, now: Duration) -> Result<Record, StoreError> {
        let state = match &self.state {
            SlotState::Pending { lapses, .. } => State::Pending { abandoned: *lapses <= now },
            SlotState::Success(frame) => State::Success(outcome(frame)?),
            SlotState::Failed(frame) => State::Failed(frame.as_ref().map(outcome).transpose()?),
        };
        Ok(Record::new(self.fingerprint, self.attempt, self.token, state))
    }

    /// The record as operators see it.
    pub(super) fn info(&self, now: Duration) -> RecordInfo {
        let (key, scope) = (self.key, Some(self.scope));
        let record = self.record(now);
        let unreadable =
            || Record::new(self.fingerprint, self.attempt, self.token, State::Failed(None));
        RecordInfo {
            label: self.label.clone(),
            scope,
            reserved_ago: Some(self.reserved.ago(now)),
            changed_ago: Some(self.changed.ago(now)),
            expires_in: Some(self.expires.saturating_sub(now)),
            ..RecordInfo::new(key, &record.unwrap_or_else(|_| unreadable()))
        }
    }

    /// The record that an operator makes of this one.
    pub(super) fn settled_as(
        &self,
        token: Token,
        state: SlotState,
        expires: Duration,
        now: Duration,
    ) -> Self {
        let Self { scope, attempt, fingerprint, key, ref label, reserved, .. } = *self;
        let (label, changed) = (label.clone(), Moment::of(now));
        Self { scope, expires, token, attempt, fingerprint, state, key, label, reserved, changed }
    }

    /// For a pending record: a future that resolves when it is settled, and when its lease lapses.
    pub(super) fn wait(&mut self) -> Option<(OwnedNotified, Duration)> {
        let SlotState::Pending { lapses, waiters } = &mut self.state else {
            return None;
        };
        // Made under the lock, it hears of every change from here on, polled or not.
        let settled = Arc::clone(waiters.get_or_insert_default()).notified_owned();
        Some((settled, *lapses))
    }

    pub(super) fn wake(&self) {
        if let SlotState::Pending { waiters: Some(waiters), .. } = &self.state {
            waiters.notify_waiters();
        }
    }
}

impl SlotState {
    /// The length of the response, in bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Pending { .. } | Self::Failed(None) => 0,
            Self::Success(frame) | Self::Failed(Some(frame)) => frame.len(),
        }
    }
}

/// The frame in an allocation of its own size, because a record lives long. A larger one that
/// shrinks would leave a gap in the heap for each record.
pub(super) fn frame(outcome: &Outcome) -> Bytes {
    let mut head = Vec::with_capacity(outcome.size_hint());
    outcome.encode_head(&mut head);
    [&head, outcome.bytes()].concat().into()
}

fn outcome(frame: &Bytes) -> Result<Outcome, StoreError> {
    Outcome::decode(frame.clone())
        .map_err(|error| StoreError::with_source(StoreErrorKind::Corrupt, error))
}
