//! The protocol around one operation, of whatever kind.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::admission::Admission;
use super::lease::HeldLease;
use super::line::admit;
use super::permit::count_key;
use super::settle::{Settle, Settled};
use super::shared::Shared;
use super::telemetry;
use crate::flow::requested::Requested;
use crate::handler::attempt::Attempt;
use crate::http::class::ResponseClass;
use crate::http::rejection::Rejection;
use crate::http::response::BrokenBody;
use crate::record::key::IdempotencyKey;
use crate::record::outcome::Outcome;
use crate::runtime::task::{self, Caught};
use crate::settings::{Config, InFlight};
use crate::store::{Conflict, Lease, Store, StoreErrorKind};

/// Tells the operation when its caller has gone, for as long as it is worth knowing.
pub(crate) fn caller(config: &Config) -> (Option<oneshot::Sender<()>>, Option<oneshot::Receiver<()>>) {
    matches!(config.in_flight, InFlight::Wait(_)).then(oneshot::channel).unzip()
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

/// What came of calling an operation.
pub(crate) struct Done<T> {
    pub(crate) answer: T,
    pub(crate) class: ResponseClass,
    pub(crate) outcome: Result<Outcome, BrokenBody>,
    /// How long it is kept.
    pub(crate) retention: Duration,
    /// Another transaction was in the way.
    pub(crate) conflict: bool,
}

/// Why an operation gave nothing.
pub(crate) enum Failure<E> {
    /// It was not called: the inner service did not become ready.
    NotBegun(E),
    /// It was not called: the shutdown began while it waited until the inner service was ready.
    ShutDown,
    Erred(E),
}

impl<T> Done<T> {
    /// Nothing is stored of it.
    pub(crate) fn unrecorded(answer: T) -> Self {
        Self {
            answer,
            class: ResponseClass::Discard,
            outcome: Err(BrokenBody),
            retention: Duration::ZERO,
            conflict: false,
        }
    }

    /// How the record of the attempt ends, and what its caller gets.
    fn settled(self) -> (Settle, T) {
        let settle = match (self.class, self.outcome) {
            (ResponseClass::Discard, _) => Settle::Release,
            (ResponseClass::Success, Ok(outcome)) => Settle::Complete(outcome, self.retention),
            (ResponseClass::Failed, Ok(outcome)) => Settle::Fail(Some(outcome), self.retention),
            (ResponseClass::Success | ResponseClass::Failed, Err(BrokenBody)) => {
                Settle::Fail(None, self.retention)
            }
        };
        (settle, self.answer)
    }
}

/// How one operation ended for its caller.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment, and a box would cost more than the move"
)]
pub(crate) enum Ended<T, E> {
    Answered(T),
    /// No record of this layer guards it.
    Unrecorded(T),
    Replayed(Outcome),
    Rejected(Rejection),
    Conflict,
    Erred(E),
    Panicked(Box<dyn Any + Send>),
}

/// The protocol around one operation, of whatever kind: reserve the key, run it, settle the record.
pub(crate) async fn once<St, T, E, F>(
    shared: &Arc<Shared<St>>,
    config: &Arc<Config>,
    requested: &mut Requested,
    caller_gone: Option<oneshot::Receiver<()>>,
    operation: impl FnOnce(Run) -> F,
) -> Ended<T, E>
where
    St: Store,
    E: 'static,
    F: Future<Output = Result<Done<T>, Failure<E>>>,
{
    let Some(_running) = shared.running.enter() else {
        return Ended::Rejected(config.shutting_down());
    };
    let (key, record) = (requested.key.clone(), requested.reserve.key);
    let reserved = match admit(shared, config, requested, caller_gone).await {
        Admission::Run(reserved) => reserved,
        Admission::Replay(outcome) => {
            telemetry::request("replayed");
            return Ended::Replayed(outcome);
        }
        Admission::Reject(rejection) => return Ended::Rejected(rejection),
        Admission::InFlight(_) | Admission::LooksAbandoned(_) => return Ended::Rejected(config.in_flight()),
        Admission::Unguarded(_permit) => {
            telemetry::request("unguarded");
            let run = Run {
                attempt: Attempt::unguarded(key, record, config.downstream.clone()),
                guarded_by: GuardedBy::Nothing,
            };
            return Ended::unrecorded(operation(run).await, config);
        }
        Admission::Nested(attempt) => {
            let run = Run { attempt, guarded_by: GuardedBy::OuterLayer };
            return Ended::unrecorded(operation(run).await, config);
        }
    };

    if let Err(rejection) = count_key(config, requested, &reserved.lease) {
        let attempt = Attempt::new(key, &reserved.lease, &shared.id, None);
        HeldLease::new(shared, config, attempt, reserved).settle(Settle::Release).await;
        return Ended::Rejected(rejection);
    }
    telemetry::request("executed");
    let attempt = begin(key, &reserved.lease, &shared.id, config);
    let lease = HeldLease::new(shared, config, attempt.clone(), reserved);
    let run = Run { attempt, guarded_by: GuardedBy::ItsRecord };
    let ended = task::catch_panic(operation(run)).await;
    if lease.is_transaction() && is_conflict(&ended, lease.has_conflict()) {
        lease.settle(Settle::Release).await;
        return Ended::Conflict;
    }
    let done = match ended {
        Caught::Completed(done) => done,
        Caught::Erred(Failure::NotBegun(error)) => {
            lease.settle(Settle::Release).await;
            return Ended::Erred(error);
        }
        Caught::Erred(Failure::ShutDown) => {
            lease.settle(Settle::Release).await;
            return Ended::Rejected(config.shutting_down());
        }
        Caught::Erred(Failure::Erred(error)) => {
            lease.settle(Settle::Fail(None, config.retention)).await;
            return Ended::Erred(error);
        }
        Caught::Panicked(panic) => {
            lease.settle(Settle::Fail(None, config.retention)).await;
            return Ended::Panicked(panic);
        }
    };
    let (settle, answer) = done.settled();
    let counts = matches!(settle, Settle::Complete(..));
    match lease.settle(settle).await {
        Settled::Lost(Some(outcome)) => Ended::Replayed(outcome),
        Settled::NotCommitted(StoreErrorKind::Conflict) => Ended::Conflict,
        Settled::NotCommitted(kind) if counts => Ended::Rejected(config.not_committed(kind)),
        Settled::Stored | Settled::Lost(None) | Settled::NotCommitted(_) => Ended::Answered(answer),
    }
}

/// Whether another transaction was in the way of the operation, as it has reported or its response or its error says.
fn is_conflict<T, E: 'static>(ended: &Caught<Done<T>, Failure<E>>, is_reported: bool) -> bool {
    match ended {
        Caught::Completed(done) => is_reported || done.conflict,
        Caught::Erred(Failure::Erred(error)) => is_reported || Conflict::caused(error),
        Caught::Erred(Failure::NotBegun(_) | Failure::ShutDown) | Caught::Panicked(_) => false,
    }
}

impl<T, E> Ended<T, E> {
    fn unrecorded(ended: Result<Done<T>, Failure<E>>, config: &Config) -> Self {
        match ended {
            Err(Failure::ShutDown) => Self::Rejected(config.shutting_down()),
            Ok(done) => Self::Unrecorded(done.answer),
            Err(Failure::NotBegun(error) | Failure::Erred(error)) => Self::Erred(error),
        }
    }
}

/// Makes the [`Attempt`] that the handler sees, and logs it if it is not the first.
fn begin(key: IdempotencyKey, lease: &Lease, layer: &Arc<()>, config: &Config) -> Attempt {
    telemetry::attempt(lease.previous);
    let attempt = Attempt::new(key, lease, layer, config.downstream.clone());
    if let Some(previous) = lease.previous {
        let (key, number, in_doubt) = (&lease.key, lease.attempt, attempt.is_in_doubt());
        tracing::info!(%key, attempt = number, ?previous, in_doubt, "an operation runs again");
    }
    attempt
}
