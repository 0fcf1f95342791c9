//! The second await: what a reservation entitles the request to.

use std::future::{Future, pending};
use std::pin::pin;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::decide::{Decision, decide};
use super::limits::Permit;
use crate::config::{Config, InFlight, LONGEST_WAIT, Wanted};
use crate::outcome::Outcome;
use crate::rejection::Rejection;
use crate::shared::{Shared, within};
use crate::store::{ErrorKind, Lease, Record, Rerun, Reservation, Seen, Store, StoreError};
use crate::waiting::{News, Place, Turn};

pub(super) enum Admitted {
    Execute(Reserved),
    Replay(Outcome),
    Refuse(Rejection),
    /// The store cannot be asked, and the layer was told to run the operation all the same: within its limits.
    Unguarded(Permit),
}

/// A key that was acquired.
pub(super) struct Reserved {
    pub(super) lease: Lease,
    /// Before the store was asked: the lease lapses there no sooner than by this reckoning.
    pub(super) since: Instant,
    /// Where others in this process wait for the answer.
    pub(super) place: Option<Place>,
    /// What the limits gave, until the record is settled.
    pub(super) permit: Permit,
}

/// Reserves the key; waits, if the layer was told to, while it is in flight and the caller is there.
pub(super) async fn admit<St: Store>(
    shared: &Shared<St>,
    config: &Config,
    wanted: &mut Wanted,
    caller_gone: Option<oneshot::Receiver<()>>,
) -> Admitted {
    let InFlight::Wait(bound) = config.in_flight else {
        return match look(shared, config, wanted).await {
            Look::Acquired(lease, since, permit) => {
                Admitted::Execute(Reserved { lease, since, place: None, permit })
            }
            Look::Found(record) => found(record, wanted, config),
            Look::Refused(rejection) => Admitted::Refuse(rejection),
            Look::Failed(kind, permit) if config.opens_for(kind) => Admitted::Unguarded(permit),
            Look::Failed(kind, _) => Admitted::Refuse(config.unavailable(kind)),
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
    wait_in_line(shared, config, wanted, deadline, interrupted).await
}

/// Takes a place behind all in this process who send the same request. The first of them asks the store and runs the
/// operation, or waits for another process that does; the others wait for what it learns.
///
/// It can be interrupted while it waits, and at no other point: a reservation that was begun is waited for.
async fn wait_in_line<St: Store>(
    shared: &Shared<St>,
    config: &Config,
    wanted: &mut Wanted,
    deadline: Instant,
    interrupted: impl Future<Output = Rejection>,
) -> Admitted {
    let mut interrupted = pin!(interrupted);
    let key = wanted.reserve.key;
    let mut place = shared.lines.join(key, wanted.reserve.fingerprint);
    match place.turn(&mut interrupted).await {
        Turn::Mine => {}
        Turn::News(News::Found(record)) => return found(record, wanted, config),
        Turn::News(News::Unavailable(kind)) => return Admitted::Refuse(config.unavailable(kind)),
        Turn::Interrupted(rejection) => return Admitted::Refuse(rejection),
    }
    // What the one before has just seen need not be looked at again.
    let mut seen = place.seen();
    loop {
        let in_flight = match seen.take() {
            Some(seen) => seen,
            None => match ask(shared, config, wanted, &mut place).await {
                Asked::InFlight(seen) => seen,
                Asked::Acquired(lease, since, permit) => {
                    return Admitted::Execute(Reserved { lease, since, place: Some(place), permit });
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
                shared.store_failed("changed", &key, &error);
                place.tell(|| News::Unavailable(error.kind()));
                return Admitted::Refuse(config.unavailable(error.kind()));
            },
        }
    }
}

/// What the one who has the turn learns from the store.
enum Asked {
    Acquired(Lease, Instant, Permit),
    InFlight(Seen),
    Ended(Admitted),
}

/// Asks the store for all in the line, and tells them what is no longer in flight.
async fn ask<St: Store>(
    shared: &Shared<St>,
    config: &Config,
    wanted: &mut Wanted,
    place: &mut Place,
) -> Asked {
    let awaited = place.awaited();
    // When the attempt that a crowd waits for fails, one of them runs it again. If that fails too, the rest do not
    // try in turn.
    if let (Some(awaited), Rerun::Any) = (awaited, wanted.reserve.rerun_failed) {
        wanted.reserve.rerun_failed = Rerun::Only(awaited);
    }
    let record = match look(shared, config, wanted).await {
        Look::Acquired(lease, since, permit) => {
            place.makes(lease.token, lease.previous.is_none());
            return Asked::Acquired(lease, since, permit);
        }
        Look::Found(record) => record,
        Look::Refused(rejection) => return Asked::Ended(Admitted::Refuse(rejection)),
        Look::Failed(kind, permit) => {
            place.tell(|| News::Unavailable(kind));
            // What is known to be in flight is not run beside itself, whatever the policy.
            return Asked::Ended(match awaited {
                None if config.opens_for(kind) => Admitted::Unguarded(permit),
                _ => Admitted::Refuse(config.unavailable(kind)),
            });
        }
    };
    let news = record.clone();
    match decide(record, &wanted.reserve, config) {
        Decision::InFlight(seen) => {
            place.saw(seen);
            Asked::InFlight(seen)
        }
        decision => {
            // Another rule may tell somebody else in the line that it is theirs, and then it is theirs to read.
            if wanted.is_of(&news) || wanted.others.is_empty() {
                place.tell(|| News::Found(news));
            }
            Asked::Ended(admitted(decision, config))
        }
    }
}

/// What one look at the store came to.
enum Look {
    Acquired(Lease, Instant, Permit),
    Found(Record),
    /// A limit is reached, and no record stands there that would answer the request.
    Refused(Rejection),
    Failed(ErrorKind, Permit),
}

async fn look<St: Store>(shared: &Shared<St>, config: &Config, wanted: &mut Wanted) -> Look {
    let key = wanted.reserve.key;
    loop {
        let permit = match Permit::take(config, &wanted.scope) {
            Ok(permit) => permit,
            Err(rejection) => return look_only(shared, config, wanted, rejection).await,
        };
        let since = Instant::now();
        let reservation = within(config.store_timeout, shared.store.reserve(&wanted.reserve)).await;
        if reservation.is_ok() {
            shared.store_answered();
        }
        let found = match reservation {
            Ok(Reservation::Acquired(lease)) => return Look::Acquired(lease, since, permit),
            Ok(Reservation::Found(record)) => read(record, wanted, config),
            Err(error) => Err(error),
        };
        match found {
            // It was written under another rule, which told the store that it is of another operation.
            Ok(record) if wanted.adopts(&record) && record.yields_to(&wanted.reserve) => {}
            Ok(record) => return Look::Found(record),
            Err(error) => {
                shared.store_failed("reserve", &key, &error);
                return Look::Failed(error.kind(), permit);
            }
        }
    }
}

/// Looks whether the request has its answer already, for to give that takes no room.
async fn look_only<St: Store>(
    shared: &Shared<St>,
    config: &Config,
    wanted: &mut Wanted,
    rejection: Rejection,
) -> Look {
    let key = wanted.reserve.key;
    let inspected = within(config.store_timeout, shared.store.inspect(&key)).await;
    match inspected.and_then(|found| found.map(|record| read(record, wanted, config)).transpose()) {
        Ok(Some(record)) => {
            wanted.adopts(&record);
            if record.yields_to(&wanted.reserve) { Look::Refused(rejection) } else { Look::Found(record) }
        }
        Ok(None) => Look::Refused(rejection),
        Err(error) => {
            shared.store_failed("inspect", &key, &error);
            Look::Refused(rejection)
        }
    }
}

/// The record with its answer made readable. That of another operation is refused, whatever can be read of it.
fn read(record: Record, wanted: &Wanted, config: &Config) -> Result<Record, StoreError> {
    if wanted.is_of(&record) { config.unpack(&wanted.reserve.key, record) } else { Ok(record) }
}

fn found(record: Record, wanted: &mut Wanted, config: &Config) -> Admitted {
    wanted.adopts(&record);
    admitted(decide(record, &wanted.reserve, config), config)
}

fn admitted(decision: Decision, config: &Config) -> Admitted {
    match decision {
        Decision::Replay(outcome) => Admitted::Replay(outcome),
        Decision::Refuse(rejection) => Admitted::Refuse(rejection),
        Decision::InFlight(_) => Admitted::Refuse(config.in_flight()),
    }
}
