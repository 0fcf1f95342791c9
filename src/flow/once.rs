//! The protocol around one operation of any kind.

use std::any::Any;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::oneshot;

use super::admission::{Admission, Reserved};
use super::lease::OwnedLease;
use super::line::admit;
use super::observed;
use super::permit::count_key;
use super::requested::Requested;
use super::settle::{SettleAs, SettleResult};
use super::shared::Shared;
use crate::handler::attempt::Attempt;
use crate::http::class::ResponseClass;
use crate::http::rejection::Rejection;
use crate::http::response::BrokenBody;
use crate::record::key::IdempotencyKey;
use crate::record::outcome::Outcome;
use crate::runtime::task;
use crate::settings::{Config, InFlight, Traces};
use crate::store::{Store, StoreErrorKind};

mod conclude;

use conclude::conclude;

/// A channel that closes when the caller has gone, if the request may wait for another one.
pub(crate) fn caller(
    config: &Config,
) -> (Option<oneshot::Sender<()>>, Option<oneshot::Receiver<()>>) {
    matches!(config.policies.in_flight, InFlight::Wait(_)).then(oneshot::channel).unzip()
}

/// A run of the operation.
pub(crate) struct Run {
    pub(crate) attempt: Attempt,
    pub(super) guarded_by: GuardedBy,
}

#[derive(Clone, Copy)]
pub(super) enum GuardedBy {
    ItsRecord,
    /// The store is down.
    Nothing,
    OuterLayer,
}

/// An operation that has returned a response.
pub(crate) struct Done<T> {
    pub(crate) response: T,
    pub(crate) class: ResponseClass,
    pub(crate) outcome: Result<Outcome, BrokenBody>,
    /// How long the outcome is stored.
    pub(crate) retention: Duration,
    /// Whether the operation conflicted with another transaction. `None` if it did not say.
    pub(crate) conflict: Option<bool>,
}

/// Why an operation has no response.
pub(crate) enum Failure<E> {
    /// The operation was not called, because the inner service failed to become ready.
    NotBegun(E),
    /// The operation was not called, because the shutdown began before the inner service was ready.
    ShutDown,
    Erred(E),
}

impl<T> Done<T> {
    /// A response that this layer does not store.
    pub(crate) fn unrecorded(response: T) -> Self {
        Self {
            response,
            class: ResponseClass::Discard,
            outcome: Err(BrokenBody),
            retention: Duration::ZERO,
            conflict: None,
        }
    }

    /// Whether the response is one that transaction mode commits by default.
    pub(super) fn commits(&self) -> bool {
        let outcome = self.outcome.as_ref();
        self.class == ResponseClass::Success
            && outcome.is_ok_and(|outcome| outcome.status.as_u16() < 400)
    }

    /// A transaction is rolled back, so that its attempt has failed. What it did elsewhere is in
    /// doubt.
    pub(super) fn rolled_back_if_abandoned(self) -> Self {
        match self.class {
            ResponseClass::Abandoned => Self { class: ResponseClass::Failed, ..self },
            _ => self,
        }
    }

    /// How the record of the attempt ends, and how the operation ended for its caller.
    pub(super) fn into_end<E>(self) -> (SettleAs, Ended<T, E>) {
        let end = match (self.class, self.outcome) {
            (ResponseClass::Abandoned, _) => {
                return (SettleAs::Abandon, Ended::Abandoned(self.response));
            }
            (ResponseClass::Discard, _) => SettleAs::Release,
            (ResponseClass::Success, Ok(outcome)) => SettleAs::Complete(outcome, self.retention),
            (ResponseClass::Failed, Ok(outcome)) => SettleAs::Fail(Some(outcome), self.retention),
            (ResponseClass::Success | ResponseClass::Failed, Err(BrokenBody)) => {
                SettleAs::Fail(None, self.retention)
            }
        };
        (end, Ended::Responded(self.response))
    }
}

/// How one operation ended for its caller.
pub(crate) enum Ended<T, E> {
    Responded(T),
    /// The operation ran, and it is unknown how it ended. It has a response all the same.
    Abandoned(T),
    /// The operation ran without a record.
    Unguarded(T),
    /// The operation ran, and an outer layer guards it.
    Nested(T),
    Replayed(Outcome),
    Rejected(Rejection),
    Conflict,
    Erred(E),
    Panicked(Box<dyn Any + Send>),
}

/// The protocol around one operation of any kind: reserves the key, runs the operation, and settles
/// the record.
#[expect(clippy::manual_async_fn, reason = "an async fn would store its arguments twice")]
pub(crate) fn once<St, T, E, F>(
    shared: &Arc<Shared<St>>,
    config: &Arc<Config>,
    requested: &mut Requested,
    caller_gone: Option<oneshot::Receiver<()>>,
    operation: impl FnOnce(Run) -> F + Send,
) -> impl Future<Output = Ended<T, E>> + Send
where
    St: Store,
    T: Send,
    E: Send + 'static,
    F: Future<Output = Result<Done<T>, Failure<E>>> + Send,
{
    async move {
        let Some(_running) = shared.running.enter() else {
            return Ended::Rejected(config.shutting_down());
        };
        let observer = &shared.observer;
        let (key, record) = (requested.key.clone(), requested.reserve.key);
        let reserved = match admit(shared, config, requested, caller_gone).await {
            Admission::Run(reserved) => reserved,
            Admission::Replay(mut outcome, origin) => {
                observer.replayed(config, &requested.reserve, &mut outcome, origin);
                return Ended::Replayed(outcome);
            }
            Admission::Reject(rejection) => return Ended::Rejected(rejection),
            Admission::InFlight(_) | Admission::LooksAbandoned(_) => {
                return Ended::Rejected(config.in_flight());
            }
            // What few requests need is boxed, because each would have room for it.
            Admission::Unguarded(_permit) => {
                observer.unguarded(&requested.reserve);
                let run = Run {
                    attempt: Attempt::unguarded(key, record, config.downstream.clone()),
                    guarded_by: GuardedBy::Nothing,
                };
                return Ended::unrecorded(Box::pin(operation(run)).await, config, Ended::Unguarded);
            }
            Admission::Nested(attempt) => {
                let run = Run { attempt, guarded_by: GuardedBy::OuterLayer };
                return Ended::unrecorded(Box::pin(operation(run)).await, config, Ended::Nested);
            }
        };
        let (attempt, lease) = match begin(key, shared, config, requested, reserved) {
            Ok(begun) => begun,
            Err((lease, rejection)) => {
                Box::pin(lease.settle(SettleAs::Release)).await;
                return Ended::Rejected(rejection);
            }
        };
        let run = Run { attempt, guarded_by: GuardedBy::ItsRecord };
        let (mut end, ended) = {
            // Pinned here, because the combinator would move it.
            let operation = pin!(operation(run));
            conclude(task::catch_panic(operation).await, &lease, config)
        };
        observed::ran(lease.lease());
        if let Some(trace) = config.traces.as_ref().and_then(Traces::current) {
            end.set_trace(&trace);
        }
        let is_success = matches!(end, SettleAs::Complete(..));
        let settled = lease.settle(end).await;
        match (ended, settled) {
            (Ended::Responded(_) | Ended::Abandoned(_), SettleResult::LeaseLost(Some(found))) => {
                let (mut outcome, origin) = *found;
                observer.replayed(config, &requested.reserve, &mut outcome, origin);
                Ended::Replayed(outcome)
            }
            (Ended::Responded(_), SettleResult::NotCommitted(StoreErrorKind::Conflict)) => {
                Ended::Conflict
            }
            (Ended::Responded(_), SettleResult::NotCommitted(kind)) if is_success => {
                Ended::Rejected(config.not_committed(kind))
            }
            (ended, _) => ended,
        }
    }
}

impl<T, E> Ended<T, E> {
    /// The outcome in a trace.
    fn word(&self) -> &'static str {
        match self {
            Self::Responded(_) => "executed",
            Self::Abandoned(_) => "abandoned",
            Self::Unguarded(_) => "unguarded",
            Self::Nested(_) => "nested",
            Self::Replayed(_) => "replayed",
            Self::Rejected(rejection) => rejection.code(),
            Self::Conflict => "conflict",
            Self::Erred(_) => "error",
            Self::Panicked(_) => "panic",
        }
    }

    /// The code of the rejection that the caller gets, if it is one.
    fn rejected(&self, config: &Config) -> Option<&'static str> {
        match self {
            Self::Rejected(rejection) => Some(rejection.code()),
            Self::Conflict => Some(config.in_flight().code()),
            _ => None,
        }
    }

    fn unrecorded(
        ended: Result<Done<T>, Failure<E>>,
        config: &Config,
        responded: fn(T) -> Self,
    ) -> Self {
        match ended {
            Err(Failure::ShutDown) => Self::Rejected(config.shutting_down()),
            Ok(done) => responded(done.response),
            Err(Failure::NotBegun(error) | Failure::Erred(error)) => Self::Erred(error),
        }
    }
}

/// Tells how an operation ended for its caller.
pub(crate) fn told<St, T, E>(
    shared: &Shared<St>,
    config: &Config,
    requested: &Requested,
    ended: &Ended<T, E>,
) {
    if let Some(code) = ended.rejected(config) {
        shared.observer.rejected(&requested.reserve, code);
    }
    observed::ended(Some(&requested.reserve), ended.word());
}

/// Makes the [`Attempt`] that the handler sees, and logs it if it is not the first. If the key is
/// one too many for the quota, the lease is to be released.
fn begin<St: Store>(
    key: IdempotencyKey,
    shared: &Arc<Shared<St>>,
    config: &Arc<Config>,
    requested: &Requested,
    reserved: Reserved,
) -> Result<(Attempt, OwnedLease<St>), (OwnedLease<St>, Rejection)> {
    let lease = &reserved.lease;
    if let Err(rejection) = count_key(config, requested, lease) {
        let attempt = Attempt::new(key, lease, &shared.id, settings(config), None);
        return Err((OwnedLease::new(shared, config, attempt, reserved), rejection));
    }
    observed::runs(lease);
    let attempt = Attempt::new(key, lease, &shared.id, settings(config), config.downstream.clone());
    if let Some(previous) = lease.previous {
        let (key, number, in_doubt) = (&lease.key, lease.attempt, attempt.is_in_doubt());
        tracing::info!(
            %key, attempt = number, ?previous, in_doubt,
            "operation runs again after an attempt that failed or was cut off"
        );
    }
    Ok((attempt.clone(), OwnedLease::new(shared, config, attempt, reserved)))
}

/// Identifies the settings of an attempt.
fn settings(config: &Arc<Config>) -> Weak<dyn Any + Send + Sync> {
    let settings: Weak<Config> = Arc::downgrade(config);
    settings
}
