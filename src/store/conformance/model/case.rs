//! One walk: each step is made on the store and on the model, and the replies are compared.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::compare::{Stop, broken, differed, same, same_record};
use super::given::{look, outcome};
use super::machine::{Expected, Given, Model, Settled};
use super::pace::Pace;
use super::steps::{Ask, Holder, KEYS, RerunFailed, Step, Ticks, Write};
use crate::record::key::StorageKey;
use crate::store::conformance::given::{fingerprint, forged, fresh_key, scope};
use crate::store::conformance::told::told;
use crate::store::{
    Lease, PendingRef, PreviousAttempt, Reservation, ReserveRequest, RetryFailed, Settlement,
    State, Store, Token,
};

/// How a walk ended.
pub(super) enum End {
    /// Every reply was the model's; here is the kind of each.
    Agreed(Vec<Reply>),
    /// So was every one up to a step that says nothing, because it was too late.
    CutShort,
    /// The reply to the step of this number was another one.
    Differed { at: usize, why: String },
}

/// A kind of reply. A walk counts how often each one came.
type Reply = &'static str;

/// Every kind that a walk may meet.
pub(super) const REPLIES: [Reply; 11] = [
    "acquired",
    "took over a failed record",
    "took over an abandoned record",
    "found pending",
    "found abandoned",
    "found success",
    "found failed",
    "applied",
    "wrote a record that was gone",
    "put back what was taken over",
    "lease lost",
];

/// How long a success stays that outlasts the walk.
const LONGEST: Duration = Duration::from_mins(1);

/// Makes the steps under keys of their own; at the end, looks at the record of every key.
pub(super) async fn run<S: Store>(store: &S, pace: Pace, steps: &[Step]) -> End {
    let mut case = Case {
        store,
        pace,
        start: Instant::now(),
        ticks: 0,
        model: Model::default(),
        keys: std::array::from_fn(|_| fresh_key()),
        leases: Default::default(),
        tokens: HashSet::new(),
        last: None,
        replies: Vec::new(),
    };
    let looks = (0..KEYS).map(|key| Step::Reserve(look(key)));
    for (number, step) in steps.iter().cloned().chain(looks).enumerate() {
        match case.step(number, &step).await {
            Ok(()) => {}
            Err(stop) => {
                case.clear().await;
                return match stop {
                    Stop::Undecided => End::CutShort,
                    Stop::Differed(why) => {
                        End::Differed { at: number, why: format!("step {number}, {step:?}: {why}") }
                    }
                };
            }
        }
    }
    case.clear().await;
    End::Agreed(case.replies)
}

struct Case<'a, S> {
    store: &'a S,
    pace: Pace,
    start: Instant,
    /// How many have passed since the start.
    ticks: u32,
    model: Model,
    keys: [StorageKey; KEYS as usize],
    /// All that were acquired, under each key.
    leases: [Vec<Lease>; KEYS as usize],
    tokens: HashSet<Token>,
    /// The last settling write.
    last: Option<(Lease, Given)>,
    replies: Vec<Reply>,
}

impl<S: Store> Case<'_, S> {
    async fn step(&mut self, number: usize, step: &Step) -> Result<(), Stop> {
        match step {
            Step::Reserve(ask) => {
                self.reserve(ask).await?;
                self.wait_out(ask.lease).await;
            }
            Step::Settle(holder, write) => {
                let Some(lease) = self.lease_of(*holder) else {
                    return Ok(());
                };
                let (given, retention) = self.given(write, number);
                self.last = Some((lease.clone(), given.clone()));
                self.settle(&lease, &given).await?;
                self.wait_out(retention).await;
            }
            Step::Again => {
                if let Some((lease, given)) = self.last.clone() {
                    self.settle(&lease, &given).await?;
                }
            }
            Step::Look(key) => self.look(*key).await?,
            Step::Pass(ticks) => self.pass(u32::from(*ticks)).await,
        }
        Ok(())
    }

    async fn reserve(&mut self, ask: &Ask) -> Result<(), Stop> {
        let request = self.request(ask);
        let began = self.start.elapsed();
        let reservation = self.store.reserve(&request).await.map_err(broken)?;
        let now = self.pace.when(began, self.start.elapsed());
        match (self.model.reserve(&request, now)?, reservation) {
            (Expected::Acquired { attempt, previous }, Reservation::Acquired(lease)) => {
                same("attempt", &attempt, &lease.attempt)?;
                same("previous", &previous, &lease.previous)?;
                same("key", &request.key, &lease.key)?;
                same("fingerprint", &request.fingerprint, &lease.fingerprint)?;
                same("lease", &request.lease, &lease.lease)?;
                same("retention", &request.retention, &lease.retention)?;
                same("whether the token is new", &true, &self.tokens.insert(lease.token))?;
                self.model.acquired(&lease, now);
                self.replies.push(match previous {
                    None => "acquired",
                    Some(PreviousAttempt::Abandoned) => "took over an abandoned record",
                    Some(_) => "took over a failed record",
                });
                self.leases[usize::from(ask.key)].push(lease);
                Ok(())
            }
            (Expected::Found(expected), Reservation::Found(found)) => {
                self.replies.push(match found.state {
                    State::Pending { abandoned: false } => "found pending",
                    State::Pending { abandoned: true } => "found abandoned",
                    State::Success(_) => "found success",
                    State::Failed(_) => "found failed",
                });
                same_record(&expected, &found)
            }
            (Expected::Acquired { attempt, previous }, Reservation::Found(found)) => differed(
                &format!("attempt {attempt} after {previous:?}"),
                &format!("to find {}", told(&found)),
            ),
            (Expected::Found(expected), Reservation::Acquired(lease)) => {
                let Lease { attempt, previous, .. } = lease;
                differed(
                    &format!("to find {}", told(&expected)),
                    &format!("attempt {attempt} after {previous:?}"),
                )
            }
        }
    }

    /// Inspects, and waits no time. Each must find the record, and change nothing.
    async fn look(&self, key: u8) -> Result<(), Stop> {
        let request = self.request(&look(key));
        let began = self.start.elapsed();
        if let Some(Lease { key, token, .. }) = self.lease_of(Holder::Newest { key }) {
            let seen = PendingRef::new(key, token);
            self.store.wait_for_change(&seen, 0, Duration::ZERO).await.map_err(broken)?;
        }
        let found = self.store.inspect(&request.key).await.map_err(broken)?;
        let now = self.pace.when(began, self.start.elapsed());
        match (self.model.reserve(&request, now)?, found) {
            (Expected::Found(expected), Some(found)) => same_record(&expected, &found),
            (Expected::Acquired { .. }, None) => Ok(()),
            (Expected::Found(expected), None) => differed(&told(&expected), "no record"),
            (Expected::Acquired { .. }, Some(found)) => differed("no record", &told(&found)),
        }
    }

    async fn settle(&mut self, lease: &Lease, write: &Given) -> Result<(), Stop> {
        let began = self.start.elapsed();
        let settlement = match write {
            Given::Complete(outcome, retention) => {
                self.store.complete(lease, outcome, *retention).await
            }
            Given::Fail(outcome, retention) => {
                self.store.fail(lease, outcome.as_ref(), *retention).await
            }
            Given::Release => self.store.release(lease).await,
            Given::Renew => self.store.renew(lease).await,
        };
        let now = self.pace.when(began, self.start.elapsed());
        let expected = self.model.settle(lease, write, now)?;
        self.replies.push(match expected {
            Settled::Applied => "applied",
            Settled::Wrote => "wrote a record that was gone",
            Settled::PutBack => "put back what was taken over",
            Settled::LeaseLost => "lease lost",
        });
        same("settlement", &expected.settlement(), &settlement.map_err(broken)?)
    }

    async fn pass(&mut self, ticks: u32) {
        self.ticks += ticks;
        self.pace.pass(self.start, self.ticks).await;
    }

    /// Removes what is left, as far as that can be done. A success expires by itself.
    async fn clear(&self) {
        for lease in self.leases.iter().filter_map(|leases| leases.last()) {
            if let Ok(Settlement::Applied) = self.store.release(&without_previous(lease)).await {
                continue;
            }
            let brief = Duration::from_millis(1);
            let taking_over = ReserveRequest::new(lease.key, lease.fingerprint)
                .scope(lease.scope)
                .lease(brief)
                .retention(2 * brief);
            if let Ok(Reservation::Acquired(lease)) = self.store.reserve(&taking_over).await {
                let _ = self.store.release(&without_previous(&lease)).await;
            }
        }
    }

    /// Lets the shortest time pass where it may or may not have passed.
    async fn wait_out(&mut self, time: Ticks) {
        if self.pace.needs_a_tick_after_the_shortest() && time == Ticks::SHORTEST {
            self.pass(1).await;
        }
    }

    fn request(&self, ask: &Ask) -> ReserveRequest {
        let retry_failed = match ask.retry_failed {
            RerunFailed::Never => RetryFailed::Never,
            RerunFailed::Any => RetryFailed::Any,
            RerunFailed::Only(holder) => self
                .lease_of(holder)
                .map_or(RetryFailed::Never, |lease| RetryFailed::Only(lease.token)),
        };
        let fingerprint = fingerprint(["a", "b", "c"][usize::from(ask.fingerprint % 3)]);
        ReserveRequest::new(self.keys[usize::from(ask.key)], fingerprint)
            .scope(scope())
            .lease(self.pace.duration(ask.lease))
            .retention(self.pace.duration(ask.lease.plus(ask.beyond)))
            .retry_failed(retry_failed)
            .retry_abandoned(ask.retry_abandoned)
    }

    /// The lease, if so many were acquired.
    fn lease_of(&self, holder: Holder) -> Option<Lease> {
        let earlier = |key: u8, by: u8| {
            self.leases[usize::from(key)].iter().nth_back(usize::from(by)).cloned()
        };
        match holder {
            Holder::Newest { key } => earlier(key, 0),
            Holder::Earlier { key, by } => earlier(key, by),
            Holder::Forger { key } => earlier(key, 0).map(|lease| forged(&lease)),
        }
    }

    /// The write, and how long its record stays. Each step has a response of its own.
    fn given(&self, write: &Write, step: usize) -> (Given, Ticks) {
        match write {
            Write::Complete(response, retention) => {
                // A success cannot be removed, so it does not stay for ever.
                let time = self.pace.duration(*retention).min(LONGEST);
                (Given::Complete(outcome(*response, step), time), *retention)
            }
            Write::Fail(response, retention) => {
                let outcome = response.map(|response| outcome(response, step));
                (Given::Fail(outcome, self.pace.duration(*retention)), *retention)
            }
            Write::Release => (Given::Release, Ticks::FOR_EVER),
            Write::Renew => (Given::Renew, Ticks::FOR_EVER),
        }
    }
}

/// Released, it leaves nothing.
fn without_previous(lease: &Lease) -> Lease {
    Lease { previous: None, replaces: None, ..lease.clone() }
}
