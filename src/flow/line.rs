//! Requests that wait for the response of another one, or for a renewal that may not come.

use std::future::{Future, pending};
use std::pin::pin;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::admission::{Admission, Reserved};
use super::observed::{Observer, Waiting};
use super::requested::Requested;
use super::reserve::{failed, found, reserve};
use super::shared::Shared;
use super::waiting::{News, Turn};
use crate::http::rejection::Rejection;
use crate::runtime::task::LONGEST_WAIT;
use crate::settings::{Config, InFlight, WaitPermit};
use crate::store::{Record, State, Store};

/// Reserves the key. With [`InFlight::Wait`] it waits while the key is in flight and the caller is
/// connected.
pub(super) async fn admit<St: Store>(
    shared: &Shared<St>,
    config: &Config,
    requested: &mut Requested,
    caller_gone: Option<oneshot::Receiver<()>>,
) -> Admission {
    let bound = match config.policies.in_flight {
        // The outer layer is the first member of the line, so this one would wait for its own end.
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
    Box::pin(wait_in_line(shared, config, requested, deadline, interrupted)).await
}

/// Reserves the key, or rejects at once. It waits only for the renewal of a lease that looks
/// lapsed.
async fn admit_at_once<St: Store>(
    shared: &Shared<St>,
    config: &Config,
    requested: &mut Requested,
) -> Admission {
    let mut has_missed_renewal = false;
    let mut wait = Wait::new(shared, config, requested);
    loop {
        match reserve(shared, config, requested, None, has_missed_renewal).await {
            Admission::InFlight(_) => return Admission::Reject(config.in_flight()),
            Admission::LooksAbandoned(_) if !wait.begin(requested) => {
                return Admission::Reject(config.in_flight());
            }
            Admission::LooksAbandoned(until) => tokio::select! {
                () = sleep_until(until) => has_missed_renewal = true,
                () = shared.running.stopping() => return Admission::Reject(config.shutting_down()),
            },
            admission => return admission,
        }
    }
}

/// Joins the line of all requests of this process for the same operation.
///
/// The first member asks the store. It runs the operation, or waits for another process that does.
/// The others wait for its result. A request is rejected as in flight if too many requests wait.
///
/// The interruption counts only while the request waits. A reservation that has begun is completed.
async fn wait_in_line<St: Store>(
    shared: &Shared<St>,
    config: &Config,
    requested: &mut Requested,
    deadline: Instant,
    interrupted: impl Future<Output = Rejection>,
) -> Admission {
    let mut interrupted = pin!(interrupted);
    let key = requested.reserve.key;
    let mut member = shared.lines.join(key, requested.reserve.fingerprint);
    let mut wait = Wait::new(shared, config, requested);
    if !member.is_first() && !wait.begin(requested) {
        return Admission::Reject(config.in_flight());
    }
    match member.turn(&mut interrupted).await {
        Turn::Mine => {}
        Turn::News(News::Found(record)) => {
            let mut record = record;
            forget_trace(&mut record, config);
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
    // If the member before has just read the record, this one does not read it again.
    let mut seen = member.seen();
    let mut has_missed_renewal = false;
    loop {
        let in_flight = match seen.take() {
            Some(seen) => seen,
            None => match reserve(shared, config, requested, Some(&mut member), has_missed_renewal)
                .await
            {
                Admission::InFlight(seen) => {
                    has_missed_renewal = false;
                    seen
                }
                Admission::LooksAbandoned(_) if !wait.begin(requested) => {
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
                    return Admission::Run(Reserved { member: Some(member), ..reserved });
                }
                admission => return admission,
            },
        };
        if !wait.begin(requested) {
            return Admission::Reject(config.in_flight());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let round = member.next_round();
        tokio::select! {
            biased;
            rejection = &mut interrupted => return Admission::Reject(rejection),
            changed = shared.store.wait_for_change(&in_flight, round, left) => if let Err(error) = changed {
                let label = requested.reserve.label.as_ref();
                shared.store_failed("wait_for_change", &key, label, &error);
                return failed(&error, config, Some(&mut member));
            },
        }
    }
}

/// The wait of one request, once it has begun.
struct Wait<'a> {
    permit: WaitPermit<'a>,
    observer: &'a Observer,
    told: Option<Waiting<'a>>,
}

impl<'a> Wait<'a> {
    fn new<St>(shared: &'a Shared<St>, config: &'a Config, requested: &Requested) -> Self {
        let permit = config.budgets.wait_permit(requested.reserve.scope, requested.bytes);
        Self { permit, observer: &shared.observer, told: None }
    }

    /// Whether the request may wait.
    fn begin(&mut self, requested: &Requested) -> bool {
        let may_wait = self.permit.acquire();
        if may_wait && self.told.is_none() {
            self.told = Some(self.observer.waits(&requested.reserve));
        }
        may_wait
    }
}

/// Another clone of the layer may have made the response, and a client must not get its trace.
fn forget_trace(record: &mut Record, config: &Config) {
    if let State::Success(outcome) | State::Failed(Some(outcome)) = &mut record.state
        && config.traces.is_none()
    {
        outcome.take_trace();
    }
}
