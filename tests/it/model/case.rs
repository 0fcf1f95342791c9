//! One run of a case: each step is made on the store and on the model, and the answers are compared.

use std::collections::HashSet;
use std::fmt::Debug;

use tokio::time::Instant;
use tower_idempotency::PreviousAttempt;
use tower_idempotency::store::{
    Lease, Record, Reservation, ReserveRequest, RetryFailed, State, Store, Token,
};
use tower_idempotency::store::{Outcome, StorageKey, StoreError, StoreErrorKind, StoredBody};

use super::given::{fingerprint, fresh_key, look, outcome};
use super::machine::{Expected, Given, Model, Settled, Undecided};
use super::pace::Pace;
use super::steps::{Ask, Holder, KEYS, RerunFailed, Step, Ticks, Write};
use crate::support::with;

/// How a run ended.
pub(super) enum End {
    /// Every answer was the model's; here is what each came to.
    Agreed(Vec<Answered>),
    /// So was every one up to a step that came at a time about which nothing can be said.
    Undecided,
    Differed(String),
}

/// A kind of answer, for the count of how often each was met.
pub(super) type Answered = &'static str;

/// Every kind that a sequence may meet.
pub(super) const ANSWERS: [Answered; 11] = [
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

enum Stop {
    Undecided,
    Differed(String),
}

impl From<Undecided> for Stop {
    fn from(_: Undecided) -> Self {
        Self::Undecided
    }
}

/// Makes the steps under keys of their own; at the end, looks at what every key has come to.
pub(super) async fn run<S: Store>(store: S, pace: Pace, steps: Vec<Step>) -> End {
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
        answers: Vec::new(),
    };
    let looks = (0..KEYS).map(|key| Step::ReserveRequest(look(key)));
    for (number, step) in steps.iter().cloned().chain(looks).enumerate() {
        match case.step(number, &step).await {
            Ok(()) => {}
            Err(Stop::Undecided) => return End::Undecided,
            Err(Stop::Differed(why)) => {
                return End::Differed(format!("step {number}, {step:?}: {why}"));
            }
        }
    }
    End::Agreed(case.answers)
}

struct Case<S> {
    store: S,
    pace: Pace,
    start: Instant,
    /// How many have passed since the start.
    ticks: u32,
    model: Model,
    keys: [StorageKey; KEYS as usize],
    /// All that were given out, under each key.
    leases: [Vec<Lease>; KEYS as usize],
    tokens: HashSet<Token>,
    /// The last settling write.
    last: Option<(Lease, Given)>,
    answers: Vec<Answered>,
}

impl<S: Store> Case<S> {
    async fn step(&mut self, number: usize, step: &Step) -> Result<(), Stop> {
        match step {
            Step::ReserveRequest(ask) => {
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
                self.answers.push(match previous {
                    None => "acquired",
                    Some(PreviousAttempt::Abandoned) => "took over an abandoned record",
                    Some(_) => "took over a failed record",
                });
                self.leases[usize::from(ask.key)].push(lease);
                Ok(())
            }
            (Expected::Found(expected), Reservation::Found(found)) => {
                self.answers.push(match found.state {
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

    async fn settle(&mut self, lease: &Lease, write: &Given) -> Result<(), Stop> {
        let began = self.start.elapsed();
        let settlement = match write {
            Given::Complete(outcome, retention) => self.store.complete(lease, outcome, *retention).await,
            Given::Fail(outcome, retention) => self.store.fail(lease, outcome.as_ref(), *retention).await,
            Given::Release => self.store.release(lease).await,
            Given::Renew => self.store.renew(lease).await,
        };
        let now = self.pace.when(began, self.start.elapsed());
        let expected = self.model.settle(lease, write, now)?;
        self.answers.push(match expected {
            Settled::Applied => "applied",
            Settled::Wrote => "wrote a record that was gone",
            Settled::PutBack => "put back what was taken over",
            Settled::LeaseLost => "lease lost",
        });
        same("settlement", &expected.settlement(), &settlement.map_err(broken)?)
    }

    async fn pass(&mut self, ticks: u32) {
        self.pace.pass(self.start, self.ticks, ticks).await;
        self.ticks += ticks;
    }

    /// Lets the shortest time pass where it cannot be told whether it has.
    async fn wait_out(&mut self, time: Ticks) {
        if self.pace.needs_a_tick_after_the_shortest() && time == Ticks::SHORTEST {
            self.pass(1).await;
        }
    }

    fn request(&self, ask: &Ask) -> ReserveRequest {
        ReserveRequest::new(self.keys[usize::from(ask.key)], fingerprint(ask.fingerprint))
            .lease(self.pace.duration(ask.lease))
            .retention(self.pace.duration(ask.lease.plus(ask.beyond)))
            .retry_failed(match ask.retry_failed {
                RerunFailed::Never => RetryFailed::Never,
                RerunFailed::Any => RetryFailed::Any,
                RerunFailed::Only(holder) => {
                    self.lease_of(holder).map_or(RetryFailed::Never, |lease| RetryFailed::Only(lease.token))
                }
            })
            .retry_abandoned(ask.retry_abandoned)
    }

    /// The lease, if so many were given out.
    fn lease_of(&self, holder: Holder) -> Option<Lease> {
        let earlier =
            |key: u8, by: u8| self.leases[usize::from(key)].iter().nth_back(usize::from(by)).cloned();
        match holder {
            Holder::Newest { key } => earlier(key, 0),
            Holder::Earlier { key, by } => earlier(key, by),
            Holder::Forger { key } => earlier(key, 0).map(|lease| {
                let token = Token::new(lease.token.as_bytes().map(|byte| !byte));
                with(lease, |lease| lease.token = token)
            }),
        }
    }

    /// The write, and how long its record stays. Each step has an answer of its own.
    fn given(&self, write: &Write, step: usize) -> (Given, Ticks) {
        match write {
            Write::Complete(answer, retention) => {
                (Given::Complete(outcome(*answer, step), self.pace.duration(*retention)), *retention)
            }
            Write::Fail(answer, retention) => {
                let outcome = answer.map(|answer| outcome(answer, step));
                (Given::Fail(outcome, self.pace.duration(*retention)), *retention)
            }
            Write::Release => (Given::Release, Ticks::FOR_EVER),
            Write::Renew => (Given::Renew, Ticks::FOR_EVER),
        }
    }
}

fn same_record(expected: &Record, found: &Record) -> Result<(), Stop> {
    let states = match (&expected.state, &found.state) {
        (State::Pending { abandoned: a }, State::Pending { abandoned: b }) => a == b,
        (State::Success(a), State::Success(b)) => a == b,
        (State::Failed(a), State::Failed(b)) => a == b,
        _ => false,
    };
    let heads = [expected, found].map(|record| (record.fingerprint, record.attempt, record.token));
    if states && heads[0] == heads[1] {
        return Ok(());
    }
    differed(&format!("to find {}", told(expected)), &format!("to find {}", told(found)))
}

fn same<T: PartialEq + Debug>(what: &str, expected: &T, answered: &T) -> Result<(), Stop> {
    if expected == answered {
        return Ok(());
    }
    differed(&format!("{what} {expected:?}"), &format!("{what} {answered:?}"))
}

fn differed(expected: &str, answered: &str) -> Result<(), Stop> {
    Err(Stop::Differed(format!("the model expects {expected}, the store answers {answered}")))
}

/// A server that a busy machine keeps from answering says nothing about the store.
#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn broken(error: StoreError) -> Stop {
    match error.kind() {
        StoreErrorKind::Unavailable => Stop::Undecided,
        _ => Stop::Differed(format!("the store answers {error} ({error:?})")),
    }
}

/// A record in one line: bodies can be long.
fn told(record: &Record) -> String {
    let Record { fingerprint, attempt, token, state, .. } = record;
    let outcome = match state {
        State::Pending { .. } | State::Failed(None) => None,
        State::Success(outcome) | State::Failed(Some(outcome)) => Some(outcome),
    };
    let outcome = outcome.map(|Outcome { status, headers, request_id, body, .. }| match body {
        StoredBody::NotRetained(_) | StoredBody::Omitted | StoredBody::Packed(_) => {
            format!("{status} {headers:?} {request_id:?} {body:?}")
        }
        StoredBody::Whole { bytes, trailers } => {
            let start = bytes.slice(..bytes.len().min(8));
            format!("{status} {headers:?} {request_id:?} {} bytes {start:?} {trailers:?}", bytes.len())
        }
    });
    let abandoned = matches!(state, State::Pending { abandoned: true });
    let status = record.status();
    format!("{status} (abandoned: {abandoned}) {outcome:?}, attempt {attempt}, {fingerprint:?}, {token:?}")
}
