//! The model: the promises of a store to one caller at a time, in as few words as possible.

use std::collections::HashMap;
use std::time::Duration;

use crate::record::fingerprint::Fingerprint;
use crate::record::key::StorageKey;
use crate::record::outcome::{NotRetained, Outcome, StoredBody};
use crate::store::{
    Lease, PreviousAttempt, Record, RecordStatus, ReserveRequest, RetryFailed, Settlement, State,
    Token,
};

/// A time between two, counted from the start of the walk. Exact where they are equal.
#[derive(Debug, Clone, Copy)]
pub(super) struct When {
    pub(super) earliest: Duration,
    pub(super) latest: Duration,
}

/// The store may have looked before or after something ended.
pub(super) struct Undecided;

impl When {
    const BEFORE: Self = Self { earliest: Duration::ZERO, latest: Duration::ZERO };

    fn after(self, time: Duration) -> Self {
        Self {
            earliest: self.earliest.saturating_add(time),
            latest: self.latest.saturating_add(time),
        }
    }

    /// The end of a record that stays for `retention`: a store may let it stay a little longer.
    /// Where time is exact, it does not.
    fn after_retention(self, retention: Duration) -> Self {
        let Self { earliest, latest } = self.after(retention);
        let longer = if self.earliest == self.latest { Duration::ZERO } else { retention / LONGER };
        Self { earliest, latest: latest.saturating_add(longer) }
    }

    /// Whether this time has come.
    fn has_come(self, now: Self) -> Result<bool, Undecided> {
        match (self.latest <= now.earliest, self.earliest <= now.latest) {
            (true, _) => Ok(true),
            (_, false) => Ok(false),
            _ => Err(Undecided),
        }
    }
}

/// A record may stay longer than its retention by this part of it: 2 %.
const LONGER: u32 = 50;

#[derive(Default)]
pub(super) struct Model(HashMap<StorageKey, Entry>);

struct Entry {
    fingerprint: Fingerprint,
    attempt: u32,
    token: Token,
    status: RecordStatus,
    outcome: Option<Outcome>,
    /// Means something while the record is pending.
    lapses: When,
    expires: When,
}

/// What a reservation should come to.
pub(super) enum Expected {
    Acquired { attempt: u32, previous: Option<PreviousAttempt> },
    Found(Box<Record>),
}

/// What a settling write should come to.
#[derive(Clone, Copy)]
pub(super) enum Settled {
    Applied,
    /// The record was gone.
    Wrote,
    /// The record that was taken over is there again.
    PutBack,
    LeaseLost,
}

/// A settling write as a store gets it.
#[derive(Clone)]
pub(super) enum Given {
    Complete(Outcome, Duration),
    Fail(Option<Outcome>, Duration),
    Release,
    Renew,
}

impl Model {
    /// Says what the reservation should come to. The store chooses the token, so an acquired lease
    /// is given to [`acquired`](Self::acquired).
    pub(super) fn reserve(
        &self,
        request: &ReserveRequest,
        now: When,
    ) -> Result<Expected, Undecided> {
        // Without `..`, so that a new condition is decided on here too. A walk draws it in `steps`.
        let ReserveRequest {
            key,
            fingerprint,
            retry_failed,
            retry_abandoned,
            scope: _,
            lease: _,
            retention: _,
            label: _,
        } = request;
        let first = Expected::Acquired { attempt: 1, previous: None };
        let Some(entry) = self.0.get(key) else {
            return Ok(first);
        };
        if entry.expires.has_come(now)? {
            return Ok(first);
        }
        let abandoned = entry.status == RecordStatus::Pending && entry.lapses.has_come(now)?;
        let may_take_over = match (entry.status, *retry_failed) {
            (RecordStatus::Pending, _) => abandoned && *retry_abandoned,
            (RecordStatus::Failed, RetryFailed::Any) => true,
            (RecordStatus::Failed, RetryFailed::Only(token)) => token == entry.token,
            (RecordStatus::Failed, RetryFailed::Never) | (RecordStatus::Success, _) => false,
        };
        if may_take_over && entry.fingerprint == *fingerprint {
            let status = entry.outcome.as_ref().map(|outcome| outcome.status);
            let previous = if abandoned {
                PreviousAttempt::Abandoned
            } else {
                PreviousAttempt::Failed { status }
            };
            return Ok(Expected::Acquired { attempt: entry.attempt + 1, previous: Some(previous) });
        }
        let state = match (entry.status, entry.outcome.clone()) {
            (RecordStatus::Success, Some(outcome)) => State::Success(outcome),
            (RecordStatus::Failed, outcome) => State::Failed(outcome),
            _ => State::Pending { abandoned },
        };
        let Entry { fingerprint, attempt, token, .. } = *entry;
        Ok(Expected::Found(Box::new(Record::new(fingerprint, attempt, token, state))))
    }

    /// A pending record is there now, in place of the one before.
    pub(super) fn acquired(&mut self, lease: &Lease, now: When) {
        self.0.insert(lease.key, Entry::pending(lease, now));
    }

    /// Makes the write, and says what it should come to.
    pub(super) fn settle(
        &mut self,
        lease: &Lease,
        write: &Given,
        now: When,
    ) -> Result<Settled, Undecided> {
        let entry = match self.0.get(&lease.key) {
            Some(entry) if !entry.expires.has_come(now)? => Some(entry),
            _ => None,
        };
        let attempt = match entry {
            Some(entry) if entry.token != lease.token => return Ok(Settled::LeaseLost),
            Some(Entry { status: RecordStatus::Pending, attempt, .. }) => *attempt,
            // It was sent a second time; what was stored the first time stays.
            Some(Entry { status, .. }) if Some(*status) == write.status() => {
                return Ok(Settled::Applied);
            }
            None if write.status().is_some() => lease.attempt,
            _ => return Ok(Settled::LeaseLost),
        };
        let is_gone = entry.is_none();
        let pending = Entry { attempt, ..Entry::pending(lease, now) };
        let written = match write {
            Given::Complete(outcome, retention) => {
                let (status, outcome) = (RecordStatus::Success, Some(outcome.clone()));
                Some(Entry { status, outcome, expires: now.after_retention(*retention), ..pending })
            }
            Given::Fail(outcome, retention) => {
                let (status, outcome) = (RecordStatus::Failed, outcome.clone());
                Some(Entry { status, outcome, expires: now.after_retention(*retention), ..pending })
            }
            Given::Renew => Some(pending),
            Given::Release => Entry::put_back(lease, now),
        };
        let is_put_back = written.is_some() && matches!(write, Given::Release);
        match written {
            Some(written) => self.0.insert(lease.key, written),
            None => self.0.remove(&lease.key),
        };
        Ok(match (is_gone, is_put_back) {
            (true, _) => Settled::Wrote,
            (_, true) => Settled::PutBack,
            _ => Settled::Applied,
        })
    }
}

impl Entry {
    fn pending(lease: &Lease, now: When) -> Self {
        Self {
            fingerprint: lease.fingerprint,
            attempt: lease.attempt,
            token: lease.token,
            status: RecordStatus::Pending,
            outcome: None,
            lapses: now.after(lease.lease),
            expires: now.after_retention(lease.retention),
        }
    }

    /// What a released attempt leaves; `None` after the first one.
    fn put_back(lease: &Lease, now: When) -> Option<Self> {
        let released = Self { token: lease.replaces?, ..Self::pending(lease, now) };
        Some(match lease.previous? {
            PreviousAttempt::Failed { status } => {
                let body = StoredBody::NotRetained(NotRetained::Failure);
                let outcome = status.map(|status| Outcome::new(status, body));
                Self { status: RecordStatus::Failed, outcome, ..released }
            }
            PreviousAttempt::Abandoned => Self { lapses: When::BEFORE, ..released },
        })
    }
}

impl Given {
    /// The status of the record that it stores a response in.
    fn status(&self) -> Option<RecordStatus> {
        match self {
            Self::Complete(..) => Some(RecordStatus::Success),
            Self::Fail(..) => Some(RecordStatus::Failed),
            Self::Release | Self::Renew => None,
        }
    }
}

impl Settled {
    pub(super) fn settlement(self) -> Settlement {
        match self {
            Self::Applied | Self::Wrote | Self::PutBack => Settlement::Applied,
            Self::LeaseLost => Settlement::LeaseLost,
        }
    }
}
