//! How an operation ended: for its record, and for its caller.

use super::{Done, Ended, Failure};
use crate::flow::lease::OwnedLease;
use crate::flow::settle::SettleAs;
use crate::http::class::ResponseClass;
use crate::runtime::task::Caught;
use crate::settings::Config;
use crate::settings::warned::Warning;
use crate::store::{Conflict, Store};

/// How the record of the attempt ends, and how the operation ended for its caller.
pub(super) fn conclude<St: Store, T, E: 'static>(
    ended: Caught<Done<T>, Failure<E>>,
    lease: &OwnedLease<St>,
    config: &Config,
) -> (SettleAs, Ended<T, E>) {
    if lease.is_transaction() {
        if is_conflict(&ended, lease.has_conflict()) {
            return (SettleAs::Release, Ended::Conflict);
        }
        warn_of_unused_transaction(&ended, lease, config);
        if config.policies.retry_conflicts > 0 {
            warn_of_hidden_conflict(&ended, config);
        }
    }
    let in_transaction = lease.is_transaction();
    let failed = || SettleAs::Fail(None, config.retention);
    match ended {
        Caught::Completed(done) if in_transaction => done.rolled_back_if_abandoned().into_end(),
        Caught::Completed(done) => done.into_end(),
        Caught::Erred(Failure::NotBegun(error)) => (SettleAs::Release, Ended::Erred(error)),
        Caught::Erred(Failure::ShutDown) => {
            (SettleAs::Release, Ended::Rejected(config.shutting_down()))
        }
        Caught::Erred(Failure::Erred(error)) => (failed(), Ended::Erred(error)),
        Caught::Panicked(panic) => (failed(), Ended::Panicked(panic)),
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
