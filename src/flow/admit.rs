//! The second await: what a reservation entitles the request to.

use std::future::{Future, pending};
use std::pin::pin;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::decide::{Decision, decide};
use crate::config::{Config, InFlight, LONGEST_WAIT};
use crate::outcome::Outcome;
use crate::rejection::Rejection;
use crate::shared::{Shared, within};
use crate::store::{ErrorKind, Lease, Record, Rerun, Reservation, Reserve, Seen, Store};
use crate::waiting::{News, Place, Turn};

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
    match place.turn(&mut interrupted).await {
        Turn::Mine => {}
        Turn::News(News::Found(record)) => return found(record, &reserve, config),
        Turn::News(News::Unavailable(kind)) => return Admitted::Refuse(config.unavailable(kind)),
        Turn::Interrupted(rejection) => return Admitted::Refuse(rejection),
    }
    // What the one before has just seen need not be looked at again.
    let mut seen = place.seen();
    loop {
        let in_flight = match seen.take() {
            Some(seen) => seen,
            None => match ask(shared, config, &mut reserve, &mut place).await {
                Asked::InFlight(seen) => seen,
                Asked::Acquired(lease, since) => {
                    return Admitted::Execute(Reserved { lease, since, place: Some(place) });
                }
                Asked::Ended(admitted) => return admitted,
            },
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let round = place.next_round();
        tokio::select! {
            biased;
            rejection = &mut interrupted => return Admitted::Refuse(rejection),
            changed = shared.store.changed(&in_flight, round, left) => if let Err(error) = changed {
                shared.store_failed("changed", &reserve.key, &error);
                place.tell(|| News::Unavailable(error.kind()));
                return Admitted::Refuse(config.unavailable(error.kind()));
            },
        }
    }
}

/// What the one who has the turn learns from the store.
enum Asked {
    Acquired(Lease, Instant),
    InFlight(Seen),
    Ended(Admitted),
}

/// Asks the store for all in the line, and tells them what is no longer in flight.
async fn ask<St: Store>(
    shared: &Shared<St>,
    config: &Config,
    reserve: &mut Reserve,
    place: &mut Place,
) -> Asked {
    let awaited = place.awaited();
    // When the attempt that a crowd waits for fails, one of them runs it again. If that fails too, the rest do not
    // try in turn.
    if let (Some(awaited), Rerun::Any) = (awaited, reserve.rerun_failed) {
        reserve.rerun_failed = Rerun::Only(awaited);
    }
    let record = match look(shared, config, reserve).await {
        Look::Acquired(lease, since) => {
            place.makes(lease.token, lease.previous.is_none());
            return Asked::Acquired(lease, since);
        }
        Look::Found(record) => record,
        Look::Failed(kind) => {
            place.tell(|| News::Unavailable(kind));
            // What is known to be in flight is not run beside itself, whatever the policy.
            return Asked::Ended(match awaited {
                None if config.opens_for(kind) => Admitted::Unguarded,
                _ => Admitted::Refuse(config.unavailable(kind)),
            });
        }
    };
    let news = record.clone();
    match decide(record, reserve, config) {
        Decision::InFlight(seen) => {
            place.saw(seen);
            Asked::InFlight(seen)
        }
        decision => {
            place.tell(|| News::Found(news));
            Asked::Ended(admitted(decision, config))
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
    let reservation = within(config.store_timeout, shared.store.reserve(reserve)).await;
    if reservation.is_ok() {
        shared.store_answered();
    }
    match reservation {
        Ok(Reservation::Acquired(lease)) => Look::Acquired(lease, since),
        Ok(Reservation::Found(record)) => Look::Found(record),
        Err(error) => {
            shared.store_failed("reserve", &reserve.key, &error);
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
