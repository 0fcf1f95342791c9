//! One run of one check: the store that it asks, what it has written there, and when.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::failure::{Checked, FailureKind, Flaw};
use super::together;
use super::told::Write;
use crate::record::key::StorageKey;
use crate::runtime::lock::lock;
use crate::store::{Lease, Reservation, ReserveRequest, Settlement, Store, StoreError};

/// How many units an operation has; then it is given up.
const PATIENCE: u32 = 10;

/// How many times longer than an operation a unit should be.
pub(super) const UNIT: u32 = 4;

/// How long a record stays that is of no more use.
const BRIEF: Duration = Duration::from_millis(1);

/// One run of one check.
pub(super) struct Trial<'a, S> {
    pub(super) store: &'a S,
    pub(super) unit: Duration,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    records: HashMap<StorageKey, Known>,
    slowest: Slowest,
}

/// What the check knows of the record under a key.
struct Known {
    lease: Lease,
    state: Wrote,
    /// The record is running for certain until then.
    runs_until: Instant,
    /// The record is there for certain until then.
    stays_until: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrote {
    Pending,
    PutBack,
    Failed,
    Success,
}

/// The slowest operation of a trial.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slowest {
    operation: Option<&'static str>,
    pub(super) took: Duration,
}

/// A step of a check, as a message tells of it.
#[derive(Clone)]
pub(super) struct Step {
    pub(super) operation: &'static str,
    pub(super) doing: String,
    pub(super) at: &'static Location<'static>,
}

/// The reply of the store, and when it was asked and replied.
pub(super) struct Reply<T> {
    pub(super) value: T,
    pub(super) began: Instant,
    pub(super) ended: Instant,
}

/// The end of what a step needs.
pub(super) struct End {
    what: &'static str,
    time: Instant,
}

/// What a step needs that time may have taken away before the store was asked.
#[derive(Clone, Copy)]
pub(super) enum Needs {
    Nothing,
    /// A record under the key.
    Record(StorageKey),
    /// A record under the key whose lease has not lapsed.
    Lease(StorageKey),
}

impl<'a, S: Store> Trial<'a, S> {
    pub(super) fn new(store: &'a S, unit: Duration) -> Self {
        Self { store, unit, notes: Mutex::default() }
    }

    pub(super) fn slowest(&self) -> Slowest {
        lock(&self.notes).slowest
    }

    /// Asks the store, and measures how long it takes.
    pub(super) async fn ask<T>(
        &self,
        step: &Step,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Checked<Reply<T>> {
        let began = Instant::now();
        let replied = timeout(self.unit * PATIENCE, call).await;
        let ended = Instant::now();
        self.took(step.operation, ended - began);
        match replied {
            Ok(Ok(value)) => Ok(Reply { value, began, ended }),
            Ok(Err(error)) => {
                let said = format!("{error} ({error:?})");
                Err(step.flaw(FailureKind::Error(error.kind()), "a reply", said))
            }
            Err(_) => Err(self.too_late(step, "a reply", "there was none until it was given up")),
        }
    }

    fn took(&self, operation: &'static str, took: Duration) {
        let mut notes = lock(&self.notes);
        notes.slowest = notes.slowest.max(Slowest { operation: Some(operation), took });
    }

    /// Lets time pass. What the runtime adds to it counts as slowness.
    pub(super) async fn sleep(&self, time: Duration) {
        let began = Instant::now();
        tokio::time::sleep(time).await;
        self.took("to wake up", began.elapsed().saturating_sub(time));
    }

    /// The flaw of a step with another result than the expected one.
    ///
    /// That is a broken promise, unless the reply came when what the step needs may have been over.
    pub(super) fn flaw(
        &self,
        step: &Step,
        needs: Needs,
        ended: Instant,
        expected: impl Into<String>,
        said: impl Into<String>,
    ) -> Flaw {
        match self.until(needs) {
            Some(end) if ended > end.time => self.over(step, &end, ended, expected),
            _ => step.broken(expected, said),
        }
    }

    /// How long what a step needs is there for certain.
    pub(super) fn until(&self, needs: Needs) -> Option<End> {
        let (key, what) = match needs {
            Needs::Nothing => return None,
            Needs::Record(key) => (key, "record"),
            Needs::Lease(key) => (key, "lease"),
        };
        let time = lock(&self.notes).records.get(&key).map(|known| match needs {
            Needs::Lease(_) => known.runs_until.min(known.stays_until),
            _ => known.stays_until,
        })?;
        Some(End { what, time })
    }

    /// A step that has just ended, as expected, says nothing if what it needed may be over.
    pub(super) fn is_in_time(&self, step: &Step, end: Option<End>, expected: &str) -> Checked {
        match (end, Instant::now()) {
            (Some(end), now) if now > end.time => Err(self.over(step, &end, now, expected)),
            _ => Ok(()),
        }
    }

    fn over(&self, step: &Step, end: &End, ended: Instant, expected: impl Into<String>) -> Flaw {
        let (what, over) = (end.what, ended - end.time);
        let why = format!("the {what} may have been over for {over:?} by then");
        self.too_late(step, expected, &why)
    }

    /// The flaw of a step that a slow operation may have delayed. That is a broken promise, unless
    /// one took a unit or more.
    pub(super) fn flaw_unless_slow(
        &self,
        step: &Step,
        expected: impl Into<String>,
        said: impl Into<String>,
    ) -> Flaw {
        if self.slowest().took < self.unit {
            return step.broken(expected, said);
        }
        self.too_late(step, expected, "the step may have been late because of that")
    }

    /// The flaw of a step whose result says nothing about the store, because it took too long.
    pub(super) fn too_late(&self, step: &Step, expected: impl Into<String>, why: &str) -> Flaw {
        let (slowest, unit) = (self.slowest(), self.unit);
        let advice = slowest.took.max(unit) * UNIT;
        step.late(
            expected,
            format!("{slowest} at a unit of {unit:?}, and {why}; try a unit of {advice:?}"),
        )
    }

    /// Notes the record that a reservation has made.
    pub(super) fn reserved(&self, reply: &Reply<Reservation>) {
        let Reservation::Acquired(lease) = &reply.value else { return };
        let known = Known {
            lease: lease.clone(),
            state: Wrote::Pending,
            runs_until: after(reply.began, lease.lease),
            stays_until: after(reply.began, lease.retention),
        };
        lock(&self.notes).records.insert(lease.key, known);
    }

    /// Notes a write that was applied and was asked for at `began`.
    pub(super) fn wrote(
        &self,
        lease: &Lease,
        write: Write<'_>,
        retention: Duration,
        began: Instant,
    ) {
        let mut notes = lock(&self.notes);
        let known = notes.records.get(&lease.key);
        let is_second = known.is_some_and(|known| {
            let settled = matches!(known.state, Wrote::Failed | Wrote::Success);
            settled && began < known.stays_until
        });
        let stay = |state, lease: &Lease, retention| Known {
            lease: lease.clone(),
            state,
            runs_until: began,
            stays_until: after(began, retention),
        };
        let known = match write {
            Write::Complete(_) | Write::Fail(_) if is_second => return,
            Write::Complete(_) => stay(Wrote::Success, lease, retention),
            Write::Fail(_) => stay(Wrote::Failed, lease, retention),
            Write::Renew => {
                let runs_until = after(began, lease.lease);
                Known { runs_until, ..stay(Wrote::Pending, lease, lease.retention) }
            }
            Write::Release => {
                let Some(record) = lease.put_back() else {
                    notes.records.remove(&lease.key);
                    return;
                };
                let before = Lease { token: record.token, ..lease.clone() };
                stay(Wrote::PutBack, &before, lease.retention)
            }
        };
        notes.records.insert(lease.key, known);
    }

    /// Removes what the check has left, or has it expire at once. A success expires by itself.
    pub(super) async fn clear(&self) {
        let records = std::mem::take(&mut lock(&self.notes).records);
        let left = records.into_values().filter(|known| known.state != Wrote::Success);
        let clearing: Vec<_> = left.map(|known| self.clear_one(known)).collect();
        together::some_at_a_time(together::FEW, clearing).await;
    }

    /// Clears one record. The result does not matter any more.
    async fn clear_one(&self, Known { lease, state, .. }: Known) {
        let first = lease.attempt == 1 && lease.previous.is_none();
        let cleared = async {
            if state == Wrote::Pending {
                let settled = if first {
                    self.store.release(&lease).await
                } else {
                    self.store.fail(&lease, None, BRIEF).await
                };
                if let Ok(Settlement::Applied) = settled {
                    return;
                }
            }
            let taking_over = ReserveRequest::new(lease.key, lease.fingerprint)
                .scope(lease.scope)
                .lease(BRIEF)
                .retention(2 * BRIEF);
            if let Ok(Reservation::Acquired(lease)) = self.store.reserve(&taking_over).await
                && lease.previous.is_none()
            {
                let _ = self.store.release(&lease).await;
            }
        };
        let _ = timeout(self.unit * PATIENCE, cleared).await;
    }
}

fn after(began: Instant, time: Duration) -> Instant {
    // Far away, for a time that does not end.
    const LONGEST: Duration = Duration::from_secs(1 << 31);
    began + time.min(LONGEST)
}

impl Step {
    /// Whether something holds that no time takes away.
    pub(super) fn holds(&self, holds: bool, expected: &str, said: &str) -> Checked {
        if holds { Ok(()) } else { Err(self.broken(expected, said)) }
    }

    /// The flaw of a store that broke a promise.
    fn broken(&self, expected: impl Into<String>, said: impl Into<String>) -> Flaw {
        self.flaw(FailureKind::Broken, expected, said)
    }

    /// The flaw of a step that took too long.
    pub(super) fn late(&self, expected: impl Into<String>, said: String) -> Flaw {
        self.flaw(FailureKind::Late, expected, said)
    }

    fn flaw(
        &self,
        kind: FailureKind,
        expected: impl Into<String>,
        said: impl Into<String>,
    ) -> Flaw {
        let (expected, said) = (expected.into(), said.into());
        Flaw { kind, step: self.to_string(), expected, said, at: self.at }
    }
}

impl Slowest {
    pub(super) fn max(self, other: Self) -> Self {
        if other.took > self.took { other } else { self }
    }
}

impl fmt::Display for Slowest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operation {
            Some(operation) => {
                write!(f, "the slowest operation ({operation}) took {:?}", self.took)
            }
            None => f.write_str("no operation took any time"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.doing)
    }
}
