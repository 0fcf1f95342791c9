//! How a contender waits.

use std::future::Future;
use std::panic::Location;

use tokio::time::Instant;

use super::super::super::{Lease, PendingRef, Record, Reservation, State, Store};
use super::{Contender, broken};

impl<S: Store> Contender<'_, S> {
    /// Waits for the attempt of `lease` to change, no longer than `units`, and returns within that time and one unit.
    #[track_caller]
    pub(in super::super) fn waits(
        &self,
        lease: &Lease,
        round: u32,
        units: f64,
    ) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        let seen = PendingRef { key: lease.key, token: lease.token };
        let bound = self.unit.mul_f64(units);
        async move {
            let wait = self.store.wait_for_change(&seen, round, bound);
            let Ok(waited) = tokio::time::timeout(bound + self.unit, wait).await else {
                panic!("{at}: the wait went on after its bound of {bound:?}");
            };
            waited.unwrap_or_else(|error| broken("wait_for_change", &error));
        }
    }

    /// Reserves and waits by turns, as the layer does, until the record is no longer pending, and tells when.
    pub(in super::super) async fn waits_until_settled(&self, units: f64) -> (Reservation, Instant) {
        let deadline = Instant::now() + self.unit.mul_f64(units);
        let mut round = 0;
        loop {
            let reservation = self.reserve().await;
            let left = deadline.saturating_duration_since(Instant::now());
            let seen = match &reservation {
                Reservation::Found(Record { state: State::Pending { .. }, token, .. }) if !left.is_zero() => {
                    PendingRef { key: self.request.key, token: *token }
                }
                _ => return (reservation, Instant::now()),
            };
            let waited = self.store.wait_for_change(&seen, round, left).await;
            waited.unwrap_or_else(|error| broken("wait_for_change", &error));
            round += 1;
        }
    }
}
