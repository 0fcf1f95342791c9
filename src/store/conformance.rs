//! The promises of a store as checks that run, for authors of stores.
//!
//! Each [`Check`] is named after what a correct store does, and tests one of the
//! [promises](super#writing-a-store). Use them in one of three ways:
//!
//! - [`run`] runs all checks and returns a [`Report`] of all that failed.
//! - [`conformance_tests!`](crate::conformance_tests) makes a test of each check.
//! - [`checks`] lists them, to run each alone with [`Check::run`].
//!
//! A [`RandomWalk`] finds what no check was written for: it compares a store with a model of it,
//! over random sequences of operations.
//!
//! ```
//! use std::time::Duration;
//! use tower_idempotency::MemoryStore;
//! use tower_idempotency::store::conformance;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! tokio::time::pause();
//! conformance::run(&MemoryStore::new(), Duration::from_secs(1)).await.assert_success();
//! # })
//! ```
//!
//! # The unit
//!
//! All leases, retentions and waits are short multiples of a `unit`, and the checks wait by
//! [`tokio::time::sleep`]. There is no default. Take
//!
//! - one second, with tokio's clock paused, if the store judges times by that clock,
//! - at least four times as long as an operation takes, and at least 150 ms, for a store with a
//!   clock of its own. 500 ms suit a store on the same machine.
//!
//! If the store serves one operation at a time, as on one connection, take 50 times as long as an
//! operation takes.
//!
//! A run takes about 9 units, and the time of some 2,000 operations, 8 at a time. A store that needs
//! less than 10 ms for an operation gets up to 5,000.
//!
//! Every operation is measured. A check that was too late to judge the store runs again, beside one
//! other check. If it is late again, it fails as [`FailureKind::Late`] and not as a broken promise.
//! If an operation takes more than a quarter of a unit, the first check says so, and the others do
//! not run.
//!
//! # Threads
//!
//! In some checks callers act at the same moment. Their futures are polled on threads, within the
//! context of the runtime. Any runtime of tokio will do, also one with a single thread.
//!
//! # What a run leaves
//!
//! The keys are random, so checks can run side by side, on one store, and on a store that is in
//! use. Each check releases what it reserved. A response cannot be deleted, so it expires: after at
//! most 8 units, and after 3 if its body is large. At its end a run leaves about 70 records with
//! 200 kB, which expire. A table that is swept also has the records that have expired before.
//!
//! # What is not checked
//!
//! That a damaged record is an error cannot be tried from outside of a store. A limit is tried if
//! it is lower than 200 records: open a second store with such a limit. That the store judges by
//! its own clock shows only where that clock differs from the caller's.
//!
//! A gap of some nanoseconds between a look at a record and the write is found by chance: each race
//! is run up to 50 times. On a machine with one core it may not be found.

// The values that the checks use are valid.
#![allow(clippy::expect_used)]

use std::time::Duration;

use super::Store;

mod check;
mod checks;
mod contender;
mod failure;
mod given;
mod model;
mod parallel;
mod promise;
mod report;
mod together;
mod told;
mod trial;

use check::Measured;

pub use check::Check;
pub use failure::{Failure, FailureKind};
pub use model::{Difference, RandomWalk, WalkError, Walked};
pub use promise::Promise;
pub use report::Report;

/// How many checks run at a time that were late before.
const AGAIN: usize = 2;

/// Lists all checks, in the order of the promises. The first one is that the unit suits the store.
///
/// ```
/// use tower_idempotency::store::conformance;
///
/// for check in conformance::checks().filter(|check| check.promise().is_some()) {
///     println!("{check}: {}", check.promise().unwrap());
/// }
/// ```
pub fn checks() -> impl Iterator<Item = Check> {
    check::all()
}

/// Runs every check, and reports all that failed. `unit` is the quantum of all leases, retentions
/// and waits; see the [module](self#the-unit).
///
/// If the store is too slow for the unit, the report says so at once, and no other check runs.
pub async fn run<S: Store>(store: &S, unit: Duration) -> Report {
    let mut report = Report::new(unit);
    let mut checks = checks();
    if let Some(first) = checks.next() {
        let (check, result, slowest) = first.measured(store, unit).await;
        report.add(check, result, slowest);
    }
    if report.failures().iter().any(|failure| failure.kind() == FailureKind::Late) {
        report.did_not_run(checks);
        return report;
    }
    let (waiting, busy): (Vec<_>, Vec<_>) = checks.partition(Check::waits);
    let mut late = Vec::new();
    for (checks, at_once) in [(&busy, together::FEW), (&waiting, waiting.len())] {
        for measured in measured(store, unit, checks, at_once).await {
            late.extend(report.add_unless_late(measured));
        }
    }
    // Side by side, they may have been in each other's way.
    for (check, result, slowest) in measured(store, unit, &late, AGAIN).await {
        report.add(check, result, slowest);
    }
    report
}

async fn measured<S: Store>(
    store: &S,
    unit: Duration,
    checks: &[Check],
    at_once: usize,
) -> Vec<Measured> {
    let checks: Vec<_> = checks.iter().map(|check| check.measured(store, unit)).collect();
    together::some_at_a_time(at_once, checks).await
}
