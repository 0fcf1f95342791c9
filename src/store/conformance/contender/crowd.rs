//! Many contenders at once.

use std::future::Future;
use std::panic::Location;

use tokio::time::Instant;

use super::{Contender, record_of, same, step};
use crate::store::conformance::failure::Checked;
use crate::store::conformance::parallel::{self, CALLERS};
use crate::store::conformance::together::{self, Boxed};
use crate::store::conformance::told::Told;
use crate::store::conformance::trial::{Needs, Reply, Step};
use crate::store::{Lease, PreviousAttempt, Reservation, State, Store};

/// How many contenders are many.
const MANY: usize = 50;

impl<S: Store> Contender<'_, S> {
    /// Reserves many times at once. One acquires this attempt, and the others find it running.
    #[track_caller]
    pub(in crate::store::conformance) fn one_of_many_acquires(
        &self,
        attempt: u32,
        previous: Option<PreviousAttempt>,
    ) -> impl Future<Output = Checked<Lease>> + Send {
        let step = step("reserve", format!("{MANY} callers at once"), Location::caller());
        async move {
            let replies = together::all((0..MANY).map(|_| self.reserve(&step))).await;
            let replies = replies.into_iter().collect::<Checked<Vec<_>>>()?;
            self.one_acquires(attempt, previous, &step, &replies)
        }
    }

    /// The same with a few callers that are polled on threads, at the same moment.
    #[track_caller]
    pub(in crate::store::conformance) fn one_in_parallel_acquires(
        &self,
        attempt: u32,
        previous: Option<PreviousAttempt>,
    ) -> impl Future<Output = Checked<Lease>> + Send {
        let step = step("reserve", format!("{CALLERS} callers in parallel"), Location::caller());
        async move {
            let reserving = (0..CALLERS).map(|_| -> Boxed<'_, _> { Box::pin(self.reserve(&step)) });
            let replies = parallel::all(reserving).await;
            let replies = replies.into_iter().collect::<Checked<Vec<_>>>()?;
            self.one_acquires(attempt, previous, &step, &replies)
        }
    }

    /// One caller has acquired this attempt, and the others found it running.
    pub(super) fn one_acquires(
        &self,
        attempt: u32,
        previous: Option<PreviousAttempt>,
        step: &Step,
        replies: &[Reply<Reservation>],
    ) -> Checked<Lease> {
        let lease = self.is_acquired_once(attempt, previous, step, replies);
        for reply in replies {
            self.trial.reserved(reply);
        }
        let lease = lease?;
        let running = record_of(&lease, State::Pending { abandoned: false });
        for Reply { value, ended, .. } in replies {
            let Reservation::Found(found) = value else { continue };
            if !same(found, &running) {
                let expected =
                    format!("the others find the attempt of that caller: {}", Told(&running));
                let said = format!("Found {}", Told(found));
                let needs = Needs::Lease(lease.key);
                return Err(self.trial.flaw(step, needs, *ended, expected, said));
            }
        }
        Ok(lease)
    }

    /// The lease of the only caller that acquires the key.
    fn is_acquired_once(
        &self,
        attempt: u32,
        previous: Option<PreviousAttempt>,
        step: &Step,
        replies: &[Reply<Reservation>],
    ) -> Checked<Lease> {
        let acquired = replies.iter().filter_map(|reply| match &reply.value {
            Reservation::Acquired(lease) => Some((lease, reply.ended)),
            Reservation::Found(_) => None,
        });
        let acquired: Vec<_> = acquired.collect();
        let needs = previous.map_or(Needs::Nothing, |_| Needs::Record(self.request.key));
        match acquired[..] {
            [(lease, _)] if (lease.attempt, lease.previous) == (attempt, previous) => {
                Ok(lease.clone())
            }
            [(lease, ended)] => {
                let told = |attempt, previous| format!("attempt {attempt} after {previous:?}");
                let said = told(lease.attempt, lease.previous);
                Err(self.trial.flaw(step, needs, ended, told(attempt, previous), said))
            }
            _ => {
                let (expected, said) =
                    ("one caller acquires the key", format!("{} acquired it", acquired.len()));
                Err(self.trial.flaw(step, needs, Instant::now(), expected, said))
            }
        }
    }
}
