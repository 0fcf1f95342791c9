//! How a contender waits.

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{At, Contender, step};
use crate::store::conformance::failure::Checked;
use crate::store::conformance::told::Write;
use crate::store::conformance::trial::{Needs, Reply, Step};
use crate::store::{Lease, PendingRef, Record, Reservation, State, Store};

/// How many units may pass between a change and the moment when a waiter knows of it.
const SOON: u32 = 2;

/// The part of a unit between two waits.
const PAUSE: u32 = 100;

/// How many units a waiter waits for a change, and when it comes.
const BOUND: f64 = 10.0;
const CHANGE: f64 = 1.0;

/// How many waits in a row take how long at least, where nothing changes. The bound of each is
/// longer.
const IN_A_ROW: u32 = 10;
const LEAST: Duration = Duration::from_millis(100);

impl<S: Store> Contender<'_, S> {
    /// Waits for the attempt of `lease` to change, no longer than `units`, and returns within that
    /// time and one unit.
    #[track_caller]
    pub(in crate::store::conformance) fn waits(
        &self,
        lease: &Lease,
        round: u32,
        units: f64,
    ) -> impl Future<Output = Checked> + Send {
        let bound = self.units(units);
        let step = step(
            "wait_for_change",
            format!("round {round}, for {bound:?} at most"),
            Location::caller(),
        );
        let seen = PendingRef::new(lease.key, lease.token);
        async move { self.waits_by(&step, seen, round, bound).await }
    }

    async fn waits_by(
        &self,
        step: &Step,
        seen: PendingRef,
        round: u32,
        bound: Duration,
    ) -> Checked {
        let wait = self.trial.store.wait_for_change(&seen, round, bound);
        let Ok(waited) = timeout(bound + self.trial.unit, wait).await else {
            return step.holds(
                false,
                "the wait ends by its bound",
                "it went on for a unit after it",
            );
        };
        // The time that it took was the caller's.
        self.trial.ask(step, std::future::ready(waited)).await?;
        Ok(())
    }

    /// Waits many times in a row for the attempt of `lease`, which does not change. This takes
    /// time.
    #[track_caller]
    pub(in crate::store::conformance) fn waits_in_a_row(
        &self,
        lease: &Lease,
    ) -> impl Future<Output = Checked> + Send {
        let doing = format!("{IN_A_ROW} times in a row, while the record does not change");
        let step = step("wait_for_change", doing, Location::caller());
        let pending = PendingRef::new(lease.key, lease.token);
        async move {
            let bound = self.units(1.0) / 5;
            let began = Instant::now();
            for round in 0..IN_A_ROW {
                self.waits_by(&step, pending, round, bound).await?;
            }
            let (took, shortest) = (began.elapsed(), LEAST.min(bound * IN_A_ROW / 2));
            let [expected, said] = [
                format!("together they take {shortest:?} at least"),
                format!("they took {took:?}"),
            ];
            step.holds(took >= shortest, &expected, &said)
        }
    }

    /// Waits for an attempt that has changed already, and learns so soon.
    #[track_caller]
    pub(in crate::store::conformance) fn waits_for_the_past(
        &self,
        lease: &Lease,
    ) -> impl Future<Output = Checked> + Send {
        let step =
            step("wait_for_change", "the record has changed since it was seen", Location::caller());
        let seen = PendingRef::new(lease.key, lease.token);
        async move {
            let began = Instant::now();
            self.waits_by(&step, seen, 0, self.units(BOUND)).await?;
            self.is_soon(&step, began, Instant::now())
        }
    }

    /// Waits, as the layer does, while the attempt of `lease` is settled. Learns soon of it, by a
    /// reservation that is the expected one.
    #[track_caller]
    pub(in crate::store::conformance) fn waits_while_settled(
        &self,
        lease: &Lease,
        end: Write<'_>,
        waiters: usize,
        (expected, is_expected): (&'static str, impl Fn(&Reservation) -> bool + Send),
    ) -> impl Future<Output = Checked> + Send {
        let at = Location::caller();
        async move {
            let settle = async {
                self.after(CHANGE).await.applies(lease, end).await?;
                Ok(Instant::now())
            };
            let waiting = super::together::all((0..waiters).map(|_| self.learns(at)));
            let (learned, settled) = tokio::join!(waiting, settle);
            let settled = settled?;
            let step =
                step("wait_for_change", format!("{} settles the attempt", end.operation()), at);
            let learned = learned.into_iter().collect::<Checked<Vec<_>>>()?;
            let result = learned.iter().try_for_each(|reply| {
                self.is_soon(&step, settled, reply.began)?;
                if is_expected(&reply.value) {
                    return Ok(());
                }
                if is_pending(&reply.value, lease) && reply.began < settled {
                    let why = "the attempt was settled after the bound of the wait";
                    return Err(self.trial.too_late(&step, expected, why));
                }
                let (needs, said) = (Needs::Record(self.request.key), format!("{:?}", reply.value));
                Err(self.trial.flaw(&step, needs, reply.ended, expected, said))
            });
            for reply in &learned {
                self.trial.reserved(reply);
            }
            result
        }
    }

    /// Reserves and waits by turns until the record is no longer pending.
    async fn learns(&self, at: At) -> Checked<Reply<Reservation>> {
        let reserving = step("reserve", "between two waits", at);
        let waiting = step("wait_for_change", "the attempt runs", at);
        let deadline = Instant::now() + self.units(BOUND);
        let mut round = 0;
        loop {
            let reply = self.reserve(&reserving).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            let seen = match &reply.value {
                Reservation::Found(Record { state: State::Pending { .. }, token, .. })
                    if !left.is_zero() =>
                {
                    PendingRef::new(self.request.key, *token)
                }
                _ => return Ok(reply),
            };
            self.waits_by(&waiting, seen, round, left).await?;
            // A wait that ends at once must not go round for ever on a clock that is paused.
            tokio::time::sleep(self.trial.unit / PAUSE).await;
            round += 1;
        }
    }

    fn is_soon(&self, step: &Step, changed: Instant, learned: Instant) -> Checked {
        let late = learned.saturating_duration_since(changed);
        if late <= self.trial.unit * SOON {
            return Ok(());
        }
        let expected = format!("a waiter learns of it within {SOON} units");
        let said = format!("a waiter learned of it {late:?} after it");
        Err(self.trial.flaw_unless_slow(step, expected, said))
    }
}

fn is_pending(reservation: &Reservation, lease: &Lease) -> bool {
    matches!(reservation, Reservation::Found(Record { state: State::Pending { .. }, token, .. }) if *token == lease.token)
}
