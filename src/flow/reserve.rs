//! The second await: reserves the key, or finds out why it cannot be reserved.

use tokio::time::Instant;

use super::admission::{Admission, Reserved};
use super::beat::missed_beat;
use super::decide::decide;
use super::events::NotStored;
use super::permit::{OverLimit, Permit, exhausted};
use super::requested::Requested;
use super::settle::SettleAs;
use super::shared::{Shared, within};
use super::telemetry::{self, Began};
use super::waiting::{Member, News};
use crate::settings::Config;
use crate::store::{Lease, Record, Reservation, RetryFailed, Settlement, State, Store, StoreError};

/// Asks the store to reserve the key. The `member` of a line tells the other members if the key is
/// no longer in flight.
pub(super) async fn reserve<St: Store>(
    shared: &Shared<St>,
    config: &Config,
    requested: &mut Requested,
    mut member: Option<&mut Member>,
    mut has_missed_renewal: bool,
) -> Admission {
    let awaited = member.as_ref().and_then(|member| member.awaited());
    // If the attempt that a line waits for fails, one member runs it again. If that fails too, the
    // other members do not run it one after another.
    if let (Some(awaited), RetryFailed::Any) = (awaited, requested.reserve.retry_failed) {
        requested.reserve.retry_failed = RetryFailed::Only(awaited);
    }
    let key = requested.reserve.key;
    loop {
        if let Some(over) = exhausted(config, requested, awaited.is_some()) {
            let look = look(shared, config, requested, member.as_deref_mut(), &over);
            match Box::pin(look).await {
                Looked::Decided(admission) => return admission,
                // The key is not new.
                Looked::MayRerun => {}
                Looked::Nothing => return Admission::Reject(over.rejection),
            }
        }
        let permit = match Permit::take(config, &requested.scope) {
            Ok(permit) => permit,
            Err(over) => match Box::pin(look(shared, config, requested, member, &over)).await {
                Looked::Decided(admission) => return admission,
                Looked::MayRerun | Looked::Nothing => return Admission::Reject(over.rejection),
            },
        };
        let since = Instant::now();
        let retry_abandoned = requested.reserve.retry_abandoned && has_missed_renewal;
        let request = requested.reserve.clone().retry_abandoned(retry_abandoned);
        let reservation = within(config.store_timeout, shared.store.reserve(&request)).await;
        let label = requested.reserve.label.as_ref();
        telemetry::store_took(label, "reserve", Began::at(since));
        if reservation.is_ok() {
            shared.store_replied();
        }
        let record = match reservation {
            Ok(Reservation::Acquired(lease)) => {
                shared.observer.reserved(&lease);
                // Nothing has polled this request for too long, or the reply came too late. Another
                // attempt may have taken over, so this one must not begin.
                if lease.transaction.is_none() && since.elapsed() >= lease.lease {
                    match Box::pin(give_back(shared, config, lease)).await {
                        Ok(()) => continue,
                        Err(error) => return failed(&error, config, member),
                    }
                }
                if let Some(member) = member {
                    member.makes(lease.token, lease.previous.is_none());
                }
                return Admission::Run(Reserved { lease, since, member: None, permit });
            }
            Ok(Reservation::Found(record)) => read(record, requested, config),
            Err(error) => Err(error),
        };
        match record {
            // The clock of the store may have stepped forward while the attempt runs.
            Ok(record)
                if !has_missed_renewal && requested.is_of(&record) && looks_abandoned(&record) =>
            {
                match shared.lapsed.since(&key, &record.token) {
                    Some(since) => {
                        let until = since + missed_beat(requested.reserve.lease);
                        return Admission::LooksAbandoned(until);
                    }
                    // One member of the line has run the operation again, to the same end.
                    None if requested.reserve.retry_abandoned
                        && awaited.is_some_and(|awaited| awaited != record.token) =>
                    {
                        return Admission::Reject(config.in_flight());
                    }
                    None => has_missed_renewal = true,
                }
            }
            // Another rule wrote the record, so the store took it for another operation. Ask again.
            Ok(record) if requested.adopts(&record) && record.yields_to(&requested.reserve) => {}
            Ok(record) => {
                if matches!(record.state, State::Pending { abandoned: false }) {
                    shared.lapsed.renewed(&record.token);
                }
                return told(record, requested, config, member);
            }
            Err(error) => {
                shared.store_failed("reserve", &key, requested.reserve.label.as_ref(), &error);
                let rejected = failed(&error, config, member);
                // An operation that is known to be in flight does not run twice, whatever the
                // policy.
                if awaited.is_some() || !config.opens_for(&error) || !shared.store.opens_in_outage()
                {
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

/// Releases a lease whose operation never began.
async fn give_back<St: Store>(
    shared: &Shared<St>,
    config: &Config,
    lease: Lease,
) -> Result<(), StoreError> {
    let lease = lease.never_begun();
    let released = SettleAs::Release.write(shared, config, &lease).await;
    let reason = match &released {
        Ok(Settlement::Applied) => return Ok(()),
        Ok(Settlement::LeaseLost) => NotStored::LeaseLost,
        Err(error) => {
            shared.store_failed("release", &lease.key, lease.label.as_ref(), error);
            NotStored::GivenUp
        }
    };
    shared.observer.not_stored(&lease, reason);
    released.map(drop)
}

/// The rejection when the store has failed, for this request and for all others in its line.
pub(super) fn failed(
    error: &StoreError,
    config: &Config,
    member: Option<&mut Member>,
) -> Admission {
    let (kind, after) = (error.kind(), error.said_retry_after());
    if let Some(member) = member {
        member.tell(|| News::Unavailable(kind, after));
    }
    Admission::Reject(config.not_reserved(kind, after))
}

fn looks_abandoned(record: &Record) -> bool {
    matches!(record.state, State::Pending { abandoned: true })
}

/// The record with its response unpacked. The record of another operation stays packed, because the
/// request is rejected anyway.
pub(super) fn read(
    record: Record,
    requested: &Requested,
    config: &Config,
) -> Result<Record, StoreError> {
    if requested.is_of(&record) {
        config.unpack(&requested.reserve.key, record)
    } else {
        Ok(record)
    }
}

/// Decides what the record means, and tells the other members of the line.
pub(super) fn told(
    record: Record,
    requested: &mut Requested,
    config: &Config,
    member: Option<&mut Member>,
) -> Admission {
    let Some(member) = member else {
        return found(record, requested, config);
    };
    let news = record.clone();
    let admission = found(record, requested, config);
    match &admission {
        Admission::InFlight(seen) => member.saw(*seen),
        Admission::Nested(_) => {}
        // By another rule the record may be of a waiter, which then reads it itself.
        _ if requested.is_of(&news) || requested.others.is_empty() => {
            member.tell(|| News::Found(news));
        }
        _ => {}
    }
    admission
}

/// Decides what the record means.
pub(super) fn found(record: Record, requested: &mut Requested, config: &Config) -> Admission {
    if let Some(outer) = requested.outer.as_ref().filter(|outer| outer.is_of(&record)) {
        return Admission::Nested(outer.clone());
    }
    requested.adopts(&record);
    decide(record, &requested.reserve, config)
}

/// What the store says about a request above a limit.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment, and a box would cost more than the move"
)]
pub(super) enum Looked {
    /// The request needs no capacity: its response is stored, or it is rejected for another reason.
    Decided(Admission),
    /// The key belongs to an attempt that failed or was cut off.
    MayRerun,
    /// The key is free, or the store could not be asked.
    Nothing,
}

/// Checks whether the response of the request is stored, because a replay needs no capacity.
pub(super) async fn look<St: Store>(
    shared: &Shared<St>,
    config: &Config,
    requested: &mut Requested,
    member: Option<&mut Member>,
    over: &OverLimit,
) -> Looked {
    if !over.may_look {
        return Looked::Nothing;
    }
    let key = requested.reserve.key;
    let began = telemetry::begins();
    let inspected = within(config.store_timeout, shared.store.inspect(&key)).await;
    telemetry::store_took(requested.reserve.label.as_ref(), "inspect", began);
    match inspected
        .and_then(|found| found.map(|record| read(record, requested, config)).transpose())
    {
        Ok(Some(record)) => {
            requested.adopts(&record);
            if record.yields_to(&requested.reserve) {
                return Looked::MayRerun;
            }
            Looked::Decided(told(record, requested, config, member))
        }
        Ok(None) => Looked::Nothing,
        Err(error) => {
            shared.store_failed("inspect", &key, requested.reserve.label.as_ref(), &error);
            Looked::Nothing
        }
    }
}
