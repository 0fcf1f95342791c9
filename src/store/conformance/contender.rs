//! The words in which the checks are written: a [`Contender`] for a key, and what it expects.

use std::fmt::Display;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use super::failure::{Checked, FailureKind, Flaw};
use super::given::{fingerprint, fresh_key, scope};
use super::together;
use super::told::{Told, told};
use super::trial::{Needs, Reply, Step, Trial};
use crate::record::outcome::{Outcome, StoredBody};
use crate::store::{
    Lease, PreviousAttempt, Record, Reservation, ReserveRequest, RetryFailed, State, Store,
    StoreErrorKind,
};

mod crowd;
mod finds;
mod operators;
mod race;
mod waits;
mod writes;

type At = &'static Location<'static>;

/// A caller that contends for a key: the store, and what it asks for.
///
/// The name of each method says what it expects. If something else comes about, the method returns
/// a flaw, with the line of the check that called it.
pub(super) struct Contender<'a, S> {
    pub(super) trial: &'a Trial<'a, S>,
    pub(super) request: ReserveRequest,
}

impl<'a, S: Store> Contender<'a, S> {
    /// Asks for a key that is new, with a lease that outlasts every check, and takes over nothing.
    pub(super) fn new(trial: &'a Trial<'a, S>) -> Self {
        let request = ReserveRequest::new(fresh_key(), fingerprint("an operation"))
            .scope(scope())
            .lease(trial.unit.mul_f64(20.0))
            .retention(trial.unit.mul_f64(40.0))
            .retry_failed(RetryFailed::Never)
            .retry_abandoned(false);
        Self { trial, request }
    }

    /// Another contender for the same key, which asks for something else.
    fn but(&self, change: impl FnOnce(&mut ReserveRequest)) -> Self {
        let mut request = self.request.clone();
        change(&mut request);
        Self { trial: self.trial, request }
    }

    pub(super) fn with_lease(&self, units: f64) -> Self {
        self.but(|request| request.lease = self.units(units))
    }

    pub(super) fn with_retention(&self, units: f64) -> Self {
        self.but(|request| request.retention = self.units(units))
    }

    pub(super) fn rerunning_failed(&self) -> Self {
        self.but(|request| request.retry_failed = RetryFailed::Any)
    }

    pub(super) fn rerunning_failure_of(&self, awaited: &Lease) -> Self {
        self.but(|request| request.retry_failed = RetryFailed::Only(awaited.token))
    }

    pub(super) fn rerunning_abandoned(&self) -> Self {
        self.but(|request| request.retry_abandoned = true)
    }

    pub(super) fn but_rerunning_nothing(&self) -> Self {
        self.but(|request| {
            request.retry_failed = RetryFailed::Never;
            request.retry_abandoned = false;
        })
    }

    /// Asks for the key of `other`.
    pub(super) fn for_the_key_of(&self, other: &Self) -> Self {
        self.but(|request| request.key = other.request.key)
    }

    pub(super) fn with_another_operation(&self) -> Self {
        self.but(|request| request.fingerprint = fingerprint("another operation"))
    }

    pub(super) fn units(&self, units: f64) -> Duration {
        self.trial.unit.mul_f64(units)
    }

    /// Lets time pass.
    pub(super) async fn after(&self, units: f64) -> &Self {
        self.trial.sleep(self.units(units)).await;
        self
    }

    async fn inspects_by(&self, step: &Step) -> Checked<Reply<Option<Record>>> {
        self.trial.ask(step, self.trial.store.inspect(&self.request.key)).await
    }

    /// Reads the record of `lease` in this state.
    #[track_caller]
    pub(super) fn inspects_state(
        &self,
        lease: &Lease,
        state: State,
    ) -> impl Future<Output = Checked> + Send {
        let step = step("inspect", "the record is there", Location::caller());
        let expected = record_of(lease, state);
        async move {
            let Reply { value, ended, .. } = self.inspects_by(&step).await?;
            if value.as_ref().is_some_and(|found| same(found, &expected)) {
                return Ok(());
            }
            let said = value.as_ref().map_or_else(|| "no record".into(), told);
            Err(self.trial.flaw(&step, self.needs(&expected.state), ended, told(&expected), said))
        }
    }

    /// Reads that the key is free.
    #[track_caller]
    pub(super) fn inspects_nothing(&self) -> impl Future<Output = Checked> + Send {
        let step = step("inspect", "the key is free", Location::caller());
        async move {
            let Reply { value, ended, .. } = self.inspects_by(&step).await?;
            match value {
                None => Ok(()),
                Some(record) => {
                    Err(self.trial.flaw(&step, Needs::Nothing, ended, "no record", told(&record)))
                }
            }
        }
    }

    pub(super) async fn reserve(&self, step: &Step) -> Checked<Reply<Reservation>> {
        self.trial.ask(step, self.trial.store.reserve(&self.request)).await
    }

    /// Acquires the key. The store has no record of it.
    #[track_caller]
    pub(super) fn acquires_first(&self) -> impl Future<Output = Checked<Lease>> + Send {
        self.acquires(1, None, step("reserve", "the key is free", Location::caller()))
    }

    /// Takes the record over.
    #[track_caller]
    pub(super) fn takes_over(
        &self,
        attempt: u32,
        previous: PreviousAttempt,
    ) -> impl Future<Output = Checked<Lease>> + Send {
        let doing = "the record yields to the request";
        self.acquires(attempt, Some(previous), step("reserve", doing, Location::caller()))
    }

    async fn acquires(
        &self,
        attempt: u32,
        previous: Option<PreviousAttempt>,
        step: Step,
    ) -> Checked<Lease> {
        let reply = self.reserve(&step).await?;
        let lease = self.is_acquired(attempt, previous, &step, &reply);
        self.trial.reserved(&reply);
        lease
    }

    fn is_acquired(
        &self,
        attempt: u32,
        previous: Option<PreviousAttempt>,
        step: &Step,
        reply: &Reply<Reservation>,
    ) -> Checked<Lease> {
        let needs = previous.map_or(Needs::Nothing, |_| Needs::Record(self.request.key));
        let before =
            previous.map_or_else(|| "no attempt".into(), |previous| format!("{previous:?}"));
        let lease = match &reply.value {
            Reservation::Acquired(lease) => lease,
            Reservation::Found(record) => {
                let expected = format!("Acquired, as attempt {attempt} after {before}");
                let said = format!("Found {}", Told(record));
                return Err(self.trial.flaw(step, needs, reply.ended, expected, said));
            }
        };
        let ReserveRequest { key, scope, fingerprint, lease: time, retention, .. } = &self.request;
        let same = |what, expected: String, said: String| {
            if expected == said {
                return Ok(());
            }
            let [expected, said] =
                [expected, said].map(|value| format!("a lease with the {what} {value}"));
            Err(self.trial.flaw(step, needs, reply.ended, expected, said))
        };
        let said =
            lease.previous.map_or_else(|| "no attempt".into(), |previous| format!("{previous:?}"));
        same("attempt", attempt.to_string(), lease.attempt.to_string())?;
        same("attempt before", before, said)?;
        let replaces = |is_some| if is_some { "some" } else { "none" }.to_owned();
        same("token to replace", replaces(previous.is_some()), replaces(lease.replaces.is_some()))?;
        same("key", format!("{key:?}"), format!("{:?}", lease.key))?;
        same("scope", format!("{scope:?}"), format!("{:?}", lease.scope))?;
        same("fingerprint", format!("{fingerprint:?}"), format!("{:?}", lease.fingerprint))?;
        same("duration", format!("{time:?}"), format!("{:?}", lease.lease))?;
        same("retention", format!("{retention:?}"), format!("{:?}", lease.retention))?;
        Ok(lease.clone())
    }

    /// Acquires the key, which is new; `None` if the store rejects it as full.
    pub(super) async fn acquires_unless_full(&self, step: &Step) -> Checked<Option<Lease>> {
        match self.acquires(1, None, step.clone()).await {
            Ok(lease) => Ok(Some(lease)),
            Err(Flaw {
                kind: FailureKind::Error(StoreErrorKind::Full | StoreErrorKind::ScopeFull),
                ..
            }) => Ok(None),
            Err(flaw) => Err(flaw),
        }
    }
}

/// Two attempts have different tokens.
#[track_caller]
pub(super) fn are_different(first: &Lease, second: &Lease) -> Checked {
    let step = step("reserve", "a second attempt", Location::caller());
    step.holds(first.token != second.token, "a token of its own", "the token of the first attempt")
}

pub(super) fn step(operation: &'static str, doing: impl Display, at: At) -> Step {
    Step { operation, doing: doing.to_string(), at }
}

fn record_of(lease: &Lease, state: State) -> Record {
    let Lease { fingerprint, attempt, token, .. } = *lease;
    Record::new(fingerprint, attempt, token, state)
}

pub(super) fn same(a: &Record, b: &Record) -> bool {
    let states = match (&a.state, &b.state) {
        (State::Pending { abandoned: a }, State::Pending { abandoned: b }) => a == b,
        (State::Success(a), State::Success(b))
        | (State::Failed(Some(a)), State::Failed(Some(b))) => same_response(a, b),
        (State::Failed(None), State::Failed(None)) => true,
        _ => false,
    };
    states && (a.fingerprint, a.attempt, a.token) == (b.fingerprint, b.attempt, b.token)
}

/// Two values are equal also if only one of them is sensitive.
fn same_response(a: &Outcome, b: &Outcome) -> bool {
    let sensitive = |outcome: &Outcome| -> Vec<_> {
        let Outcome { headers, request_id, body, .. } = outcome;
        let trailers = match body {
            StoredBody::Whole { trailers, .. } => trailers.as_deref(),
            _ => None,
        };
        let values = headers
            .values()
            .chain(request_id)
            .chain(trailers.into_iter().flat_map(HeaderMap::values));
        values.map(HeaderValue::is_sensitive).collect()
    };
    a == b && sensitive(a) == sensitive(b)
}
