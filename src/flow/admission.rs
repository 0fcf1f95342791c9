//! The second await: what a reservation entitles the request to.

use tokio::time::Instant;

use super::beat::missed_beat;
use super::decide::decide;
use super::limits::{Looked, Permit, exhausted, look};
use super::shared::{Shared, within};
use super::waiting::{News, Place};
use crate::flow::wanted::Wanted;
use crate::handler::attempt::Attempt;
use crate::http::rejection::Rejection;
use crate::record::outcome::Outcome;
use crate::settings::Config;
use crate::store::{Lease, Record, Rerun, Reservation, Reserve, Seen, State, Store, StoreError};

/// What a request may do.
#[derive(Debug)]
pub(super) enum Admission {
    /// The key is the request's: run the operation.
    Run(Reserved),
    Replay(Outcome),
    /// The same request is running elsewhere.
    InFlight(Seen),
    /// The lease of an earlier attempt looks lapsed. Until then it is watched for a renewal.
    LooksAbandoned(Instant),
    Reject(Rejection),
    /// The store cannot be asked, and the layer was told to run the operation all the same: within its limits.
    Unguarded(Permit),
    /// A layer outside guards the operation already: this is its attempt.
    Nested(Attempt),
}

/// A key that was acquired.
#[derive(Debug)]
pub(super) struct Reserved {
    pub(super) lease: Lease,
    /// Before the store was asked: the lease lapses there no sooner than by this reckoning.
    pub(super) since: Instant,
    /// Where others in this process wait for the response.
    pub(super) place: Option<Place>,
    /// What the limits gave, until the record is settled.
    pub(super) permit: Permit,
}

/// Asks the store. A request that does so for a line tells the others in it what is no longer in flight.
pub(super) async fn reserve<St: Store>(
    shared: &Shared<St>,
    config: &Config,
    wanted: &mut Wanted,
    mut place: Option<&mut Place>,
    has_missed_renewal: bool,
) -> Admission {
    let awaited = place.as_ref().and_then(|place| place.awaited());
    // When the attempt that a crowd waits for fails, one of them runs it again. If that fails too, the rest do not
    // try in turn.
    if let (Some(awaited), Rerun::Any) = (awaited, wanted.reserve.rerun_failed) {
        wanted.reserve.rerun_failed = Rerun::Only(awaited);
    }
    let key = wanted.reserve.key;
    loop {
        if let Some(over) = exhausted(config, wanted, awaited.is_some()) {
            match look(shared, config, wanted, place.as_deref_mut(), &over).await {
                Looked::Told(admission) => return admission,
                // It is not a new key.
                Looked::MayRerun => {}
                Looked::Nothing => return Admission::Reject(over.rejection),
            }
        }
        let permit = match Permit::take(config, &wanted.scope) {
            Ok(permit) => permit,
            Err(over) => match look(shared, config, wanted, place, &over).await {
                Looked::Told(admission) => return admission,
                Looked::MayRerun | Looked::Nothing => return Admission::Reject(over.rejection),
            },
        };
        let since = Instant::now();
        let rerun_abandoned = wanted.reserve.rerun_abandoned && has_missed_renewal;
        let request = Reserve { rerun_abandoned, ..wanted.reserve.clone() };
        let reservation = within(config.store_timeout, shared.store.reserve(&request)).await;
        if reservation.is_ok() {
            shared.store_answered();
        }
        let record = match reservation {
            Ok(Reservation::Acquired(lease)) => {
                if let Some(place) = place {
                    place.makes(lease.token, lease.previous.is_none());
                }
                return Admission::Run(Reserved { lease, since, place: None, permit });
            }
            Ok(Reservation::Found(record)) => read(record, wanted, config),
            Err(error) => Err(error),
        };
        match record {
            // The clock of the store may have stepped forward while the attempt runs.
            Ok(record) if !has_missed_renewal && wanted.is_of(&record) && looks_abandoned(&record) => {
                let since = shared.lapsed.since(&key, &record.token);
                return Admission::LooksAbandoned(since + missed_beat(wanted.reserve.lease));
            }
            // It was written under another rule, which told the store that it is of another operation.
            Ok(record) if wanted.adopts(&record) && record.yields_to(&wanted.reserve) => {}
            Ok(record) => {
                if matches!(record.state, State::Pending { abandoned: false }) {
                    shared.lapsed.renewed(&record.token);
                }
                return told(record, wanted, config, place);
            }
            Err(error) => {
                shared.store_failed("reserve", &key, &error);
                let rejected = failed(&error, config, place);
                // What is known to be in flight is not run beside itself, whatever the policy.
                if awaited.is_some() || !config.opens_for(&error) || !shared.store.opens_in_outage() {
                    return rejected;
                }
                return match &wanted.outer {
                    Some(outer) => Admission::Nested(outer.clone()),
                    None => Admission::Unguarded(permit),
                };
            }
        }
    }
}

/// What a request gets when the store has failed, and all who wait in the line with it.
pub(super) fn failed(error: &StoreError, config: &Config, place: Option<&mut Place>) -> Admission {
    let (kind, after) = (error.kind(), error.said_retry_after());
    if let Some(place) = place {
        place.tell(|| News::Unavailable(kind, after));
    }
    Admission::Reject(config.not_reserved(kind, after))
}

fn looks_abandoned(record: &Record) -> bool {
    matches!(record.state, State::Pending { abandoned: true })
}

/// The record with its response made readable. That of another operation is rejected, whatever can be read of it.
pub(super) fn read(record: Record, wanted: &Wanted, config: &Config) -> Result<Record, StoreError> {
    if wanted.is_of(&record) { config.unpack(&wanted.reserve.key, record) } else { Ok(record) }
}

/// Tells the others in the line about the record, and says what it means.
pub(super) fn told(
    record: Record,
    wanted: &mut Wanted,
    config: &Config,
    place: Option<&mut Place>,
) -> Admission {
    let Some(place) = place else {
        return found(record, wanted, config);
    };
    let news = record.clone();
    let admission = found(record, wanted, config);
    match &admission {
        Admission::InFlight(seen) => place.saw(*seen),
        Admission::Nested(_) => {}
        // By another rule the record may be that of a waiter, which then reads it itself.
        _ if wanted.is_of(&news) || wanted.others.is_empty() => place.tell(|| News::Found(news)),
        _ => {}
    }
    admission
}

pub(super) fn found(record: Record, wanted: &mut Wanted, config: &Config) -> Admission {
    if let Some(outer) = wanted.outer.as_ref().filter(|outer| outer.is_of(&record)) {
        return Admission::Nested(outer.clone());
    }
    wanted.adopts(&record);
    decide(record, &wanted.reserve, config)
}
