//! Requests that wait: for the response of another one, or for a missed renewal.

use std::future::{Future, pending};
use std::pin::pin;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::admission::{Admission, Reserved};
use super::reserve::{failed, found, reserve};
use super::shared::Shared;
use super::waiting::{News, Turn};
use crate::flow::requested::Requested;
use crate::http::rejection::Rejection;
use crate::runtime::task::LONGEST_WAIT;
use crate::settings::{Config, InFlight};
use crate::store::Store;

/// Reserves the key; waits, if the layer was told to, while it is in flight and the caller is there.
pub(super) async fn admit<St: Store>(
    shared: &Shared<St>,
    config: &Config,
    requested: &mut Requested,
    caller_gone: Option<oneshot::Receiver<()>>,
) -> Admission {
    let bound = match config.policies.in_flight {
        // The layer outside has the first place in the line, so this one would wait for its own end there.
        InFlight::Wait(bound) if requested.outer.is_none() => bound,
        InFlight::Wait(_) | InFlight::Reject => {
            return admit_at_once(shared, config, requested).await;
        }
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
    wait_in_line(shared, config, requested, deadline, interrupted).await
}

/// Reserves the key, or tells at once why not. Only a lease that looks lapsed is waited for.
async fn admit_at_once<St: Store>(
    shared: &Shared<St>,
    config: &Config,
    requested: &mut Requested,
) -> Admission {
    let mut has_missed_renewal = false;
    let mut seat = config.holding.seat(requested.reserve.scope, requested.bytes);
    loop {
        match reserve(shared, config, requested, None, has_missed_renewal).await {
            Admission::InFlight(_) => return Admission::Reject(config.in_flight()),
            Admission::LooksAbandoned(_) if !seat.take() => return Admission::Reject(config.in_flight()),
            Admission::LooksAbandoned(until) => tokio::select! {
                () = sleep_until(until) => has_missed_renewal = true,
                () = shared.running.stopping() => return Admission::Reject(config.shutting_down()),
            },
            admission => return admission,
        }
    }
}

/// Takes a place behind all in this process who send the same request. The first of them asks the store and runs the
/// operation, or waits for another process that does; the others wait for what it learns.
///
/// A request that may not wait, because too many others do, is told that its key is in flight.
///
/// It can be interrupted while it waits, and at no other point: a reservation that was begun is waited for.
async fn wait_in_line<St: Store>(
    shared: &Shared<St>,
    config: &Config,
    requested: &mut Requested,
    deadline: Instant,
    interrupted: impl Future<Output = Rejection>,
) -> Admission {
    let mut interrupted = pin!(interrupted);
    let key = requested.reserve.key;
    let mut place = shared.lines.join(key, requested.reserve.fingerprint);
    let mut seat = config.holding.seat(requested.reserve.scope, requested.bytes);
    if !place.is_first() && !seat.take() {
        return Admission::Reject(config.in_flight());
    }
    match place.turn(&mut interrupted).await {
        Turn::Mine => {}
        Turn::News(News::Found(record)) => {
            return match found(record, requested, config) {
                Admission::InFlight(_) => Admission::Reject(config.in_flight()),
                admission => admission,
            };
        }
        Turn::News(News::Unavailable(kind, after)) => {
            return Admission::Reject(config.not_reserved(kind, after));
        }
        Turn::Interrupted(rejection) => return Admission::Reject(rejection),
    }
    // What the one before has just seen need not be looked at again.
    let mut seen = place.seen();
    let mut has_missed_renewal = false;
    loop {
        let in_flight = match seen.take() {
            Some(seen) => seen,
            None => match reserve(shared, config, requested, Some(&mut place), has_missed_renewal).await {
                Admission::InFlight(seen) => {
                    has_missed_renewal = false;
                    seen
                }
                Admission::LooksAbandoned(_) if !seat.take() => {
                    return Admission::Reject(config.in_flight());
                }
                Admission::LooksAbandoned(until) => tokio::select! {
                    biased;
                    rejection = &mut interrupted => return Admission::Reject(rejection),
                    () = sleep_until(until) => {
                        has_missed_renewal = true;
                        continue;
                    }
                },
                Admission::Run(reserved) => {
                    return Admission::Run(Reserved { place: Some(place), ..reserved });
                }
                admission => return admission,
            },
        };
        if !seat.take() {
            return Admission::Reject(config.in_flight());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let round = place.next_round();
        tokio::select! {
            biased;
            rejection = &mut interrupted => return Admission::Reject(rejection),
            changed = shared.store.wait_for_change(&in_flight, round, left) => if let Err(error) = changed {
                shared.store_failed("wait_for_change", &key, &error);
                return failed(&error, config, Some(&mut place));
            },
        }
    }
}
