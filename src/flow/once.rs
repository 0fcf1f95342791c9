//! The protocol around one operation of any kind.

use std::any::Any;
use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::oneshot;

use super::admission::Admission;
use super::lease::OwnedLease;
use super::line::admit;
use super::observed;
use super::permit::count_key;
use super::requested::Requested;
use super::settle::{SettleAs, SettleResult};
use super::shared::Shared;
use super::telemetry;
use crate::handler::attempt::Attempt;
use crate::http::class::ResponseClass;
use crate::http::rejection::Rejection;
use crate::http::response::BrokenBody;
use crate::record::key::IdempotencyKey;
use crate::record::outcome::Outcome;
use crate::runtime::task::{self, Caught};
use crate::settings::warned::Warning;
use crate::settings::{Config, InFlight};
use crate::store::{Conflict, Lease, Store, StoreErrorKind};

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
    fn commits(&self) -> bool {
        let outcome = self.outcome.as_ref();
        self.class == ResponseClass::Success
            && outcome.is_ok_and(|outcome| outcome.status.as_u16() < 400)
    }

    /// How the record of the attempt ends, and how the operation ended for its caller.
    fn into_end<E>(self) -> (SettleAs, Ended<T, E>) {
        let end = match (self.class, self.outcome) {
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
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment, and a box would cost more than the move"
)]
pub(crate) enum Ended<T, E> {
    Responded(T),
    /// The operation ran, but no record of this layer guards it.
    Unrecorded(T),
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
        let (key, record) = (requested.key.clone(), requested.reserve.key);
        let reserved = match admit(shared, config, requested, caller_gone).await {
            Admission::Run(reserved) => reserved,
            Admission::Replay(outcome) => {
                telemetry::request("replayed");
                return Ended::Replayed(outcome);
            }
            Admission::Reject(rejection) => return Ended::Rejected(rejection),
            Admission::InFlight(_) | Admission::LooksAbandoned(_) => {
                return Ended::Rejected(config.in_flight());
            }
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
            let attempt = Attempt::new(key, &reserved.lease, &shared.id, settings(config), None);
            OwnedLease::new(shared, config, attempt, reserved).settle(SettleAs::Release).await;
            return Ended::Rejected(rejection);
        }
        telemetry::request("executed");
        let attempt = begin(key, &reserved.lease, shared, config);
        let lease = OwnedLease::new(shared, config, attempt.clone(), reserved);
        let run = Run { attempt, guarded_by: GuardedBy::ItsRecord };
        let ended = task::catch_panic(operation(run)).await;
        if lease.is_transaction() && is_conflict(&ended, lease.has_conflict()) {
            lease.settle(SettleAs::Release).await;
            return Ended::Conflict;
        }
        if lease.is_transaction() {
            warn_of_unused_transaction(&ended, &lease, config);
            if config.policies.retry_conflicts > 0 {
                warn_of_hidden_conflict(&ended, config);
            }
        }
        let failed = SettleAs::Fail(None, config.retention);
        let (end, ended) = match ended {
            Caught::Completed(done) => done.into_end(),
            Caught::Erred(Failure::NotBegun(error)) => (SettleAs::Release, Ended::Erred(error)),
            Caught::Erred(Failure::ShutDown) => {
                (SettleAs::Release, Ended::Rejected(config.shutting_down()))
            }
            Caught::Erred(Failure::Erred(error)) => (failed, Ended::Erred(error)),
            Caught::Panicked(panic) => (failed, Ended::Panicked(panic)),
        };
        let is_success = matches!(end, SettleAs::Complete(..));
        match (ended, lease.settle(end).await) {
            (Ended::Responded(_), SettleResult::LeaseLost(Some(outcome))) => {
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

/// Whether the operation conflicted with another transaction, by its own report, its response or
/// its error.
fn is_conflict<T, E: 'static>(ended: &Caught<Done<T>, Failure<E>>, is_reported: bool) -> bool {
    match ended {
        Caught::Completed(done) => is_reported || done.conflict == Some(true),
        Caught::Erred(Failure::Erred(error)) => is_reported || Conflict::caused(error),
        Caught::Erred(Failure::NotBegun(_) | Failure::ShutDown) | Caught::Panicked(_) => false,
    }
}

/// The handler may write past its transaction.
fn warn_of_unused_transaction<St: Store, T, E>(
    ended: &Caught<Done<T>, Failure<E>>,
    lease: &OwnedLease<St>,
    config: &Config,
) {
    if let Caught::Completed(done) = ended
        && done.commits()
        && !lease.has_taken_transaction()
        && config.warned.is_first(Warning::TransactionUnused)
    {
        tracing::warn!(
            "an operation ended in transaction mode and never took its transaction: what it wrote \
             over another connection is committed by itself, so it may be there twice; let the \
             handler take `Tx`, or call `Attempt::transaction`, and write through it"
        );
    }
}

/// An error type of the application may hide a conflict, and then it is not retried.
fn warn_of_hidden_conflict<T, E: 'static>(ended: &Caught<Done<T>, Failure<E>>, config: &Config) {
    let may_hide_one = match ended {
        Caught::Completed(done) => (done.class, done.conflict) == (ResponseClass::Failed, None),
        Caught::Erred(Failure::Erred(error)) => !Conflict::reads(error),
        Caught::Erred(Failure::NotBegun(_) | Failure::ShutDown) | Caught::Panicked(_) => false,
    };
    if may_hide_one && config.warned.hidden_conflict.is_due() {
        tracing::warn!(
            "an attempt failed and was rolled back, and its response or error does not say whether \
             a serialization failure or a deadlock was the cause, so it is not retried; put \
             `tower_idempotency::store::Conflict::among_sources(&error)` into the response, as a \
             part of its tuple or into its extensions, or call `Attempt::report_conflict`"
        );
    }
}

impl<T, E> Ended<T, E> {
    /// The outcome in a trace.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Responded(_) => "executed",
            Self::Unrecorded(_) => "unguarded",
            Self::Replayed(_) => "replayed",
            Self::Rejected(rejection) => rejection.code(),
            Self::Conflict => "conflict",
            Self::Erred(_) => "error",
            Self::Panicked(_) => "panic",
        }
    }

    fn unrecorded(ended: Result<Done<T>, Failure<E>>, config: &Config) -> Self {
        match ended {
            Err(Failure::ShutDown) => Self::Rejected(config.shutting_down()),
            Ok(done) => Self::Unrecorded(done.response),
            Err(Failure::NotBegun(error) | Failure::Erred(error)) => Self::Erred(error),
        }
    }
}

/// Makes the [`Attempt`] that the handler sees, and logs it if it is not the first.
fn begin<St>(
    key: IdempotencyKey,
    lease: &Lease,
    shared: &Shared<St>,
    config: &Arc<Config>,
) -> Attempt {
    telemetry::attempt(lease.previous);
    observed::runs(lease.attempt);
    let attempt = Attempt::new(key, lease, &shared.id, settings(config), config.downstream.clone());
    if let Some(previous) = lease.previous {
        let (key, number, in_doubt) = (&lease.key, lease.attempt, attempt.is_in_doubt());
        tracing::info!(
            %key, attempt = number, ?previous, in_doubt,
            "operation runs again after an attempt that failed or was cut off"
        );
    }
    attempt
}

/// Identifies the settings of an attempt.
fn settings(config: &Arc<Config>) -> Weak<dyn Any + Send + Sync> {
    let settings: Weak<Config> = Arc::downgrade(config);
    settings
}
