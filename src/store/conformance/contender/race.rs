//! Settling writes that race with each other, or with callers that take the record over.

use std::future::Future;
use std::panic::Location;

use tokio::time::Instant;

use super::{Contender, record_of, same, step};
use crate::store::conformance::failure::Checked;
use crate::store::conformance::given::response;
use crate::store::conformance::parallel::{self, CALLERS};
use crate::store::conformance::together::Boxed;
use crate::store::conformance::told::{Told, Write};
use crate::store::conformance::trial::{Needs, Reply, Step};
use crate::store::{Lease, PreviousAttempt, Record, Reservation, Settlement, Store};

/// How many units a response stays that has won a race.
const STAYS: f64 = 3.0;

/// The reply to one of the calls that race.
enum Replied {
    Settled(Reply<Settlement>),
    Reserved(Box<Reply<Reservation>>),
}

impl<S: Store> Contender<'_, S> {
    /// The late owner of an abandoned record writes while others take the record over. Either the
    /// write is applied and they find what it left, or one of them acquires the next attempt. The
    /// owner is the caller of this number.
    #[track_caller]
    pub(in crate::store::conformance) fn takes_over_or_finds(
        &self,
        late: &Lease,
        write: Write<'_>,
        number: usize,
    ) -> impl Future<Output = Checked> + Send {
        let at = Location::caller();
        let writing = step(write.operation(), format!("{write}while others take it over"), at);
        let doing = format!("{} callers in parallel with {}", CALLERS - 1, write.operation());
        let taking = step("reserve", doing, at);
        async move {
            let (settled, reserved) =
                self.race_with(late, write, number, [&writing, &taking]).await?;
            let applied = settled.value == Settlement::Applied;
            if applied {
                self.trial.wrote(late, write, self.units(STAYS), settled.began);
            }
            let lease = match write {
                _ if !applied => {
                    let (next, previous) = (late.attempt + 1, PreviousAttempt::Abandoned);
                    self.one_acquires(next, Some(previous), &taking, &reserved)?
                }
                Write::Release => self.one_acquires(1, None, &taking, &reserved)?,
                _ => {
                    self.all_find(&record_of(late, write.leaves()), &taking, &reserved)?;
                    return self.finds(late, write.leaves(), at).await;
                }
            };
            self.finds_running(&lease).await
        }
    }

    async fn race_with(
        &self,
        late: &Lease,
        write: Write<'_>,
        number: usize,
        [writing, taking]: [&Step; 2],
    ) -> Checked<(Reply<Settlement>, Vec<Reply<Reservation>>)> {
        let calls = (0..CALLERS).map(|caller| -> Boxed<'_, Checked<Replied>> {
            if caller == number {
                let writes = self.asks_to(write, late, self.units(STAYS), writing);
                return Box::pin(async { Ok(Replied::Settled(writes.await?)) });
            }
            Box::pin(async { Ok(Replied::Reserved(Box::new(self.reserve(taking).await?))) })
        });
        let (mut settled, mut reserved) = (None, Vec::new());
        for replied in parallel::all(calls).await {
            match replied? {
                Replied::Settled(reply) => settled = Some(reply),
                Replied::Reserved(reply) => reserved.push(*reply),
            }
        }
        Ok((settled.expect("the owner is one of the callers"), reserved))
    }

    fn all_find(&self, left: &Record, step: &Step, replies: &[Reply<Reservation>]) -> Checked {
        for reply in replies {
            let said = match &reply.value {
                Reservation::Found(found) if same(found, left) => continue,
                Reservation::Found(found) => format!("Found {}", Told(found)),
                Reservation::Acquired(lease) => format!("Acquired, as attempt {}", lease.attempt),
            };
            let expected = format!("Found {}", Told(left));
            let needs = self.needs(&left.state);
            let flaw = self.trial.flaw(step, needs, reply.ended, expected, said);
            self.trial.reserved(reply);
            return Err(flaw);
        }
        Ok(())
    }

    /// Sends every settling write of one attempt at the same moment. One response is stored. The
    /// `turn` decides which writes are the first.
    #[track_caller]
    pub(in crate::store::conformance) fn is_settled_once(
        &self,
        lease: &Lease,
        turn: usize,
    ) -> impl Future<Output = Checked> + Send {
        let at = Location::caller();
        let step = step("settle", "every write of one attempt at the same moment", at);
        async move {
            let (success, failure) = (response(201, "stored"), response(500, "failed"));
            let [complete, fail] = [Write::Complete(&success), Write::Fail(Some(&failure))];
            let writes = [complete, fail, Write::Release, Write::Renew];
            let writes = writes.into_iter().cycle().skip(turn % writes.len()).take(CALLERS);
            let step = &step;
            let sending = writes.clone().map(|write| -> Boxed<'_, _> {
                Box::pin(self.asks_to(write, lease, self.units(STAYS), step))
            });
            let replies = parallel::all(sending).await.into_iter().collect::<Checked<Vec<_>>>()?;
            let sent: Vec<_> = writes.zip(replies).collect();
            let stored = self.is_stored_once(lease, step, [complete, fail], &sent)?;
            self.finds(lease, stored.leaves(), at).await
        }
    }

    /// The one of two ends that was applied.
    fn is_stored_once<'w>(
        &self,
        lease: &Lease,
        step: &Step,
        ends: [Write<'w>; 2],
        sent: &[(Write<'w>, Reply<Settlement>)],
    ) -> Checked<Write<'w>> {
        let applied = ends.map(|end| {
            sent.iter().find(|(write, reply)| {
                write.operation() == end.operation() && reply.value == Settlement::Applied
            })
        });
        for (write, reply) in applied.into_iter().flatten() {
            self.trial.wrote(lease, *write, self.units(STAYS), reply.began);
        }
        let (said, ended) = match applied {
            [Some((stored, _)), None] | [None, Some((stored, _))] => return Ok(*stored),
            [None, None] => ("LeaseLost to both", Instant::now()),
            [Some((_, one)), Some((_, other))] => ("Applied to both", one.ended.max(other.ended)),
        };
        let expected = "Applied to `complete` or to `fail`";
        Err(self.trial.flaw(step, Needs::Record(lease.key), ended, expected, said))
    }
}
