//! The second await: reserves the key, or looks why it cannot be reserved.

use tokio::time::Instant;

use super::admission::{Admission, Reserved};
use super::beat::missed_beat;
use super::decide::decide;
use super::permit::{OverLimit, Permit, exhausted};
use super::shared::{Shared, within};
use super::waiting::{News, Place};
use crate::flow::requested::Requested;
use crate::settings::Config;
use crate::store::{Record, Reservation, ReserveRequest, RetryFailed, State, Store, StoreError};

/// Asks the store. A request that does so for a line tells the others in it what is no longer in flight.
pub(super) async fn reserve<St: Store>(
    shared: &Shared<St>,
    config: &Config,
    requested: &mut Requested,
    mut place: Option<&mut Place>,
    has_missed_renewal: bool,
) -> Admission {
    let awaited = place.as_ref().and_then(|place| place.awaited());
    // When the attempt that a crowd waits for fails, one of them runs it again. If that fails too, the rest do not
    // try in turn.
    if let (Some(awaited), RetryFailed::Any) = (awaited, requested.reserve.retry_failed) {
        requested.reserve.retry_failed = RetryFailed::Only(awaited);
    }
    let key = requested.reserve.key;
    loop {
        if let Some(over) = exhausted(config, requested, awaited.is_some()) {
            match look(shared, config, requested, place.as_deref_mut(), &over).await {
                Looked::Told(admission) => return admission,
                // It is not a new key.
                Looked::MayRerun => {}
                Looked::Nothing => return Admission::Reject(over.rejection),
            }
        }
        let permit = match Permit::take(config, &requested.scope) {
            Ok(permit) => permit,
            Err(over) => match look(shared, config, requested, place, &over).await {
                Looked::Told(admission) => return admission,
                Looked::MayRerun | Looked::Nothing => return Admission::Reject(over.rejection),
            },
        };
        let since = Instant::now();
        let retry_abandoned = requested.reserve.retry_abandoned && has_missed_renewal;
        let request = ReserveRequest { retry_abandoned, ..requested.reserve.clone() };
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
            Ok(Reservation::Found(record)) => read(record, requested, config),
            Err(error) => Err(error),
        };
        match record {
            // The clock of the store may have stepped forward while the attempt runs.
            Ok(record) if !has_missed_renewal && requested.is_of(&record) && looks_abandoned(&record) => {
                let since = shared.lapsed.since(&key, &record.token);
                return Admission::LooksAbandoned(since + missed_beat(requested.reserve.lease));
            }
            // It was written under another rule, which told the store that it is of another operation.
            Ok(record) if requested.adopts(&record) && record.yields_to(&requested.reserve) => {}
            Ok(record) => {
                if matches!(record.state, State::Pending { abandoned: false }) {
                    shared.lapsed.renewed(&record.token);
                }
                return told(record, requested, config, place);
            }
            Err(error) => {
                shared.store_failed("reserve", &key, &error);
                let rejected = failed(&error, config, place);
                // What is known to be in flight is not run beside itself, whatever the policy.
                if awaited.is_some() || !config.opens_for(&error) || !shared.store.opens_in_outage() {
                    return rejected;
                }
                return match &requested.outer {
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
pub(super) fn read(record: Record, requested: &Requested, config: &Config) -> Result<Record, StoreError> {
    if requested.is_of(&record) { config.unpack(&requested.reserve.key, record) } else { Ok(record) }
}

/// Tells the others in the line about the record, and says what it means.
pub(super) fn told(
    record: Record,
    requested: &mut Requested,
    config: &Config,
    place: Option<&mut Place>,
) -> Admission {
    let Some(place) = place else {
        return found(record, requested, config);
    };
    let news = record.clone();
    let admission = found(record, requested, config);
    match &admission {
        Admission::InFlight(seen) => place.saw(*seen),
        Admission::Nested(_) => {}
        // By another rule the record may be that of a waiter, which then reads it itself.
        _ if requested.is_of(&news) || requested.others.is_empty() => place.tell(|| News::Found(news)),
        _ => {}
    }
    admission
}

pub(super) fn found(record: Record, requested: &mut Requested, config: &Config) -> Admission {
    if let Some(outer) = requested.outer.as_ref().filter(|outer| outer.is_of(&record)) {
        return Admission::Nested(outer.clone());
    }
    requested.adopts(&record);
    decide(record, &requested.reserve, config)
}

/// What a look into the store tells of a request above a limit.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment, and a box would cost more than the move"
)]
pub(super) enum Looked {
    /// It takes no capacity: it has its response already, or is rejected for another reason.
    Told(Admission),
    /// The key is that of an attempt that failed or was cut off.
    MayRerun,
    Nothing,
}

/// Looks whether the request has its response already, because a replay needs no capacity.
pub(super) async fn look<St: Store>(
    shared: &Shared<St>,
    config: &Config,
    requested: &mut Requested,
    place: Option<&mut Place>,
    over: &OverLimit,
) -> Looked {
    if !over.may_look {
        return Looked::Nothing;
    }
    let key = requested.reserve.key;
    let inspected = within(config.store_timeout, shared.store.inspect(&key)).await;
    match inspected.and_then(|found| found.map(|record| read(record, requested, config)).transpose()) {
        Ok(Some(record)) => {
            requested.adopts(&record);
            if record.yields_to(&requested.reserve) {
                return Looked::MayRerun;
            }
            Looked::Told(told(record, requested, config, place))
        }
        Ok(None) => Looked::Nothing,
        Err(error) => {
            shared.store_failed("inspect", &key, &error);
            Looked::Nothing
        }
    }
}
