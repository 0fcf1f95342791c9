//! How a contender settles a lease.

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use super::{At, Contender, step};
use crate::store::conformance::failure::Checked;
use crate::store::conformance::given::{large_response, response};
use crate::store::conformance::told::Write;
use crate::store::conformance::trial::{Needs, Reply, Step};
use crate::store::{Lease, Settlement, Store};

/// How many units a settled record stays, unless the check is about that time.
const SETTLED: f64 = 8.0;

impl<S: Store> Contender<'_, S> {
    /// Writes, and says what the store replied.
    pub(super) async fn asks_to(
        &self,
        write: Write<'_>,
        lease: &Lease,
        retention: Duration,
        step: &Step,
    ) -> Checked<Reply<Settlement>> {
        let store = self.trial.store;
        let call = async {
            match write {
                Write::Complete(outcome) => store.complete(lease, outcome, retention).await,
                Write::Fail(outcome) => store.fail(lease, outcome, retention).await,
                Write::Release => store.release(lease).await,
                Write::Renew => store.renew(lease).await,
            }
        };
        self.trial.ask(step, call).await
    }

    /// Writes, and compares the reply with the expected one.
    async fn writes(
        &self,
        lease: &Lease,
        write: Write<'_>,
        retention: Duration,
        step: &Step,
        expected: Settlement,
        needs: Needs,
    ) -> Checked {
        let reply = self.asks_to(write, lease, retention, step).await?;
        let result = if reply.value == expected {
            Ok(())
        } else {
            let (expected, said) = (format!("{expected:?}"), format!("{:?}", reply.value));
            Err(self.trial.flaw(step, needs, reply.ended, expected, said))
        };
        if reply.value == Settlement::Applied {
            self.trial.wrote(lease, write, retention, reply.began);
        }
        result
    }

    /// Writes, and the write is applied. A record that it settles stays for [`SETTLED`] units.
    #[track_caller]
    pub(in crate::store::conformance) fn applies(
        &self,
        lease: &Lease,
        write: Write<'_>,
    ) -> impl Future<Output = Checked> + Send {
        self.applies_by(lease, write, self.units(SETTLED), Location::caller())
    }

    /// Writes for a retention of that many units, and the write is applied.
    #[track_caller]
    pub(in crate::store::conformance) fn applies_for(
        &self,
        units: f64,
        lease: &Lease,
        write: Write<'_>,
    ) -> impl Future<Output = Checked> + Send {
        self.applies_by(lease, write, self.units(units), Location::caller())
    }

    /// Writes for the shortest retention that there is, and the write is applied.
    #[track_caller]
    pub(in crate::store::conformance) fn applies_for_a_nanosecond(
        &self,
        lease: &Lease,
        write: Write<'_>,
    ) -> impl Future<Output = Checked> + Send {
        self.applies_by(lease, write, Duration::from_nanos(1), Location::caller())
    }

    /// Writes to the record that is there, and the write is applied. If that record may have been
    /// over when the reply came, the write may have made a record of its own.
    #[track_caller]
    pub(in crate::store::conformance) fn applies_to_the_record(
        &self,
        lease: &Lease,
        write: Write<'_>,
    ) -> impl Future<Output = Checked> + Send {
        let at = Location::caller();
        let step = step(write.operation(), format!("{write}while the record is there"), at);
        async move {
            let until = self.trial.until(Needs::Record(lease.key));
            self.applies_by(lease, write, self.units(SETTLED), at).await?;
            self.trial.is_in_time(&step, until, "Applied to the record")
        }
    }

    async fn applies_by(
        &self,
        lease: &Lease,
        write: Write<'_>,
        retention: Duration,
        at: At,
    ) -> Checked {
        let step = step(write.operation(), format!("{write}under the token of the record"), at);
        let needs = match write {
            // These need no record.
            Write::Complete(_) | Write::Fail(_) => Needs::Nothing,
            Write::Release | Write::Renew => Needs::Record(lease.key),
        };
        self.writes(lease, write, retention, &step, Settlement::Applied, needs).await
    }

    /// Writes, and is told that the lease is lost.
    #[track_caller]
    pub(in crate::store::conformance) fn loses(
        &self,
        lease: &Lease,
        write: Write<'_>,
    ) -> impl Future<Output = Checked> + Send {
        self.loses_by(lease, write, Location::caller())
    }

    async fn loses_by(&self, lease: &Lease, write: Write<'_>, at: At) -> Checked {
        let doing = format!("{write}where no record is pending under the token");
        let step = step(write.operation(), doing, at);
        let needs = match write {
            // Without a record under the key they are applied.
            Write::Complete(_) | Write::Fail(_) => Needs::Record(lease.key),
            Write::Release | Write::Renew => Needs::Nothing,
        };
        self.writes(lease, write, self.units(SETTLED), &step, Settlement::LeaseLost, needs).await
    }

    /// Tries every settling write, with small and large responses. Each says that the lease is
    /// lost.
    #[track_caller]
    pub(in crate::store::conformance) fn loses_every_write(
        &self,
        lease: &Lease,
    ) -> impl Future<Output = Checked> + Send {
        let at = Location::caller();
        async move {
            let small = response(201, "of a writer that is too late");
            let large = large_response(201, b'L');
            let writes = [
                Write::Renew,
                Write::Complete(&small),
                Write::Complete(&large),
                Write::Fail(Some(&small)),
                Write::Fail(Some(&large)),
                Write::Fail(None),
                Write::Release,
            ];
            for write in writes {
                self.loses_by(lease, write, at).await?;
            }
            Ok(())
        }
    }
}
