//! The model: what the documentation of `store` promises, for one caller at a time, in as few words as will do.

use std::collections::HashMap;
use std::time::Duration;

use tower_idempotency::store::{Lease, Previous, Record, Rerun, Reserve, Settlement, State, Status, Token};
use tower_idempotency::{Fingerprint, Outcome, StorageKey};

/// A time that is known to lie between two, counted from the start of the case. Exact where they are equal.
#[derive(Debug, Clone, Copy)]
pub(super) struct When {
    pub(super) earliest: Duration,
    pub(super) latest: Duration,
}

/// It cannot be told whether something had ended when the store looked.
pub(super) struct Undecided;

impl When {
    fn after(self, time: Duration) -> Self {
        Self { earliest: self.earliest.saturating_add(time), latest: self.latest.saturating_add(time) }
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

#[derive(Default)]
pub(super) struct Model(HashMap<StorageKey, Kept>);

struct Kept {
    fingerprint: Fingerprint,
    attempt: u32,
    token: Token,
    status: Status,
    outcome: Option<Outcome>,
    /// Means something while the record is pending.
    lapses: When,
    expires: When,
}

/// What a reservation should come to.
pub(super) enum Expected {
    Acquired { attempt: u32, previous: Option<Previous> },
    Found(Box<Record>),
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
    /// Says what the reservation should come to. The token of a lease is the store's to choose, so an acquired one is
    /// brought back to [`acquired`](Self::acquired).
    pub(super) fn reserve(&self, request: &Reserve, now: When) -> Result<Expected, Undecided> {
        let first = Expected::Acquired { attempt: 1, previous: None };
        let Some(kept) = self.0.get(&request.key) else {
            return Ok(first);
        };
        if kept.expires.has_come(now)? {
            return Ok(first);
        }
        let abandoned = kept.status == Status::Pending && kept.lapses.has_come(now)?;
        let may_take_over = match (kept.status, request.rerun_failed) {
            (Status::Pending, _) => abandoned && request.rerun_abandoned,
            (Status::Failed, Rerun::Any) => true,
            (Status::Failed, Rerun::Only(token)) => token == kept.token,
            (Status::Failed, Rerun::Never) | (Status::Success, _) => false,
        };
        if may_take_over && kept.fingerprint == request.fingerprint {
            let status = kept.outcome.as_ref().map(|outcome| outcome.status);
            let previous = if abandoned { Previous::Abandoned } else { Previous::Failed { status } };
            return Ok(Expected::Acquired { attempt: kept.attempt + 1, previous: Some(previous) });
        }
        let state = match (kept.status, kept.outcome.clone()) {
            (Status::Success, Some(outcome)) => State::Success(outcome),
            (Status::Failed, outcome) => State::Failed(outcome),
            _ => State::Pending { abandoned },
        };
        let Kept { fingerprint, attempt, token, .. } = *kept;
        Ok(Expected::Found(Box::new(Record { fingerprint, attempt, token, state })))
    }

    /// A pending record stands there now, whatever did before.
    pub(super) fn acquired(&mut self, lease: &Lease, now: When) {
        let kept = Kept {
            fingerprint: lease.fingerprint,
            attempt: lease.attempt,
            token: lease.token,
            status: Status::Pending,
            outcome: None,
            lapses: now.after(lease.lease),
            expires: now.after(lease.retention),
        };
        self.0.insert(lease.key, kept);
    }

    /// Makes the write, and says what should be answered.
    pub(super) fn settle(
        &mut self,
        lease: &Lease,
        write: &Given,
        now: When,
    ) -> Result<Settlement, Undecided> {
        let Some(kept) = self.0.get_mut(&lease.key).filter(|kept| kept.token == lease.token) else {
            return Ok(Settlement::LeaseLost);
        };
        if kept.expires.has_come(now)? {
            return Ok(Settlement::LeaseLost);
        }
        let (status, outcome, retention) = match (kept.status, write) {
            (Status::Pending, Given::Complete(outcome, retention)) => {
                (Status::Success, Some(outcome), *retention)
            }
            (Status::Pending, Given::Fail(outcome, retention)) => {
                (Status::Failed, outcome.as_ref(), *retention)
            }
            (Status::Pending, Given::Renew) => (Status::Pending, None, lease.retention),
            (Status::Pending, Given::Release) => {
                self.0.remove(&lease.key);
                return Ok(Settlement::Applied);
            }
            // It was sent a second time; what was kept the first time stays.
            (Status::Success, Given::Complete(..)) | (Status::Failed, Given::Fail(..)) => {
                return Ok(Settlement::Applied);
            }
            _ => return Ok(Settlement::LeaseLost),
        };
        kept.status = status;
        kept.outcome = outcome.cloned();
        kept.lapses = now.after(lease.lease);
        kept.expires = now.after(retention);
        Ok(Settlement::Applied)
    }
}
