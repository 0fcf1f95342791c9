//! The second await: what a reservation entitles the request to.

use std::future::{Future, pending};
use std::pin::pin;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::decide::{Decision, decide};
use super::{store_failed, within};
use crate::config::{Config, InFlight, LONGEST_WAIT};
use crate::outcome::Outcome;
use crate::rejection::Rejection;
use crate::shared::Shared;
use crate::store::{ErrorKind, Lease, Record, Rerun, Reservation, Reserve, Store};
use crate::waiting::{News, Place};

pub(super) enum Admitted {
    Execute(Reserved),
    Replay(Outcome),
    Refuse(Rejection),
    /// The store cannot be asked, and the layer was told to run the operation all the same.
    Unguarded,
}

/// A key that was acquired.
pub(super) struct Reserved {
    pub(super) lease: Lease,
    /// Before the store was asked: the lease lapses there no sooner than by this reckoning.
    pub(super) since: Instant,
    /// Where others in this process wait for the answer.
    pub(super) place: Option<Place>,
}

/// Reserves the key; waits, if the layer was told to, while it is in flight and the caller is there.
pub(super) async fn admit<St: Store>(
    shared: &Shared<St>,
    config: &Config,
    reserve: Reserve,
    caller_gone: Option<oneshot::Receiver<()>>,
) -> Admitted {
    let InFlight::Wait(bound) = config.in_flight else {
        return match look(shared, config, &reserve).await {
            Look::Acquired(lease, since) => Admitted::Execute(Reserved { lease, since, place: None }),
            Look::Found(record) => found(record, &reserve, config),
            Look::Failed(kind) if config.opens_for(kind) => Admitted::Unguarded,
            Look::Failed(kind) => Admitted::Refuse(config.unavailable(kind)),
        };
    };
    let deadline = Instant::now() + bound.min(LONGEST_WAIT);
    let interrupted = async {
        let gone = async {
            match caller_gone {
                Some(gone) => drop(gone.await),
                None => pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep_until(deadline) => config.in_flight(),
            () = gone => config.in_flight(),
            () = shared.running.stopping() => config.shutting_down(),
        }
    };
    wait_in_line(shared, config, reserve, deadline, interrupted).await
}

/// Takes a place behind all in this process who send the same request. The first of them asks the store and runs the
/// operation, or waits for another process that does; the others wait for what it learns.
///
/// It can be interrupted while it waits, and at no other point: a reservation that was begun is waited for.
async fn wait_in_line<St: Store>(
    shared: &Shared<St>,
    config: &Config,
    mut reserve: Reserve,
    deadline: Instant,
    interrupted: impl Future<Output = Rejection>,
) -> Admitted {
    let mut interrupted = pin!(interrupted);
    let mut place = shared.lines.join(reserve.key, reserve.fingerprint);
    loop {
        let news = tokio::select! {
            biased;
            news = place.turn() => news,
            rejection = &mut interrupted => return Admitted::Refuse(rejection),
        };
        match news {
            None => {}
            Some(News::Found(record)) => return found(record, &reserve, config),
            Some(News::Unavailable(kind)) => return Admitted::Refuse(config.unavailable(kind)),
        }
        let awaited = place.awaited();
        // When the attempt that a crowd waits for fails, one of them runs it again. If that fails too, the rest do not
        // try in turn.
        if let (Some(awaited), Rerun::Any) = (awaited, reserve.rerun_failed) {
            reserve.rerun_failed = Rerun::Only(awaited);
        }
        let record = match look(shared, config, &reserve).await {
            Look::Acquired(lease, since) => {
                place.waits_for(lease.token);
                return Admitted::Execute(Reserved { lease, since, place: Some(place) });
            }
            Look::Found(record) => record,
            Look::Failed(kind) => {
                place.tell(|| News::Unavailable(kind));
                // What is known to be in flight is not run beside itself, whatever the policy.
                return match awaited {
                    None if config.opens_for(kind) => Admitted::Unguarded,
                    _ => Admitted::Refuse(config.unavailable(kind)),
                };
            }
        };
        let news = record.clone();
        let seen = match decide(record, &reserve, config) {
            Decision::InFlight(seen) => seen,
            decision => {
                place.tell(|| News::Found(news));
                return admitted(decision, config);
            }
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Admitted::Refuse(config.in_flight());
        }
        let round = place.waits_for(seen.token);
        tokio::select! {
            biased;
            changed = shared.store.changed(&seen, round, left) => if let Err(error) = changed {
                store_failed("changed", &reserve.key, &error);
                return Admitted::Refuse(config.unavailable(error.kind()));
            },
            rejection = &mut interrupted => return Admitted::Refuse(rejection),
        }
    }
}

/// What one look at the store came to.
enum Look {
    Acquired(Lease, Instant),
    Found(Record),
    Failed(ErrorKind),
}

async fn look<St: Store>(shared: &Shared<St>, config: &Config, reserve: &Reserve) -> Look {
    let since = Instant::now();
    match within(config.store_timeout, shared.store.reserve(reserve)).await {
        Ok(Reservation::Acquired(lease)) => Look::Acquired(lease, since),
        Ok(Reservation::Found(record)) => Look::Found(record),
        Err(error) => {
            store_failed("reserve", &reserve.key, &error);
            Look::Failed(error.kind())
        }
    }
}

fn found(record: Record, reserve: &Reserve, config: &Config) -> Admitted {
    admitted(decide(record, reserve, config), config)
}

fn admitted(decision: Decision, config: &Config) -> Admitted {
    match decision {
        Decision::Replay(outcome) => Admitted::Replay(outcome),
        Decision::Refuse(rejection) => Admitted::Refuse(rejection),
        Decision::InFlight(_) => Admitted::Refuse(config.in_flight()),
    }
}
