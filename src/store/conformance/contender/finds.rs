//! Which record a contender finds, and may not take over.

use std::future::Future;
use std::panic::Location;

use super::{At, Contender, record_of, same, step};
use crate::record::outcome::Outcome;
use crate::store::conformance::failure::Checked;
use crate::store::conformance::told::{Told, Write};
use crate::store::conformance::trial::Needs;
use crate::store::{Lease, Reservation, State, Store};

impl<S: Store> Contender<'_, S> {
    /// Finds the attempt of `lease` pending and alive.
    #[track_caller]
    pub(in crate::store::conformance) fn finds_running(
        &self,
        lease: &Lease,
    ) -> impl Future<Output = Checked> + Send {
        self.finds(lease, State::Pending { abandoned: false }, Location::caller())
    }

    /// Finds the attempt of `lease` pending, with its lease lapsed.
    #[track_caller]
    pub(in crate::store::conformance) fn finds_abandoned(
        &self,
        lease: &Lease,
    ) -> impl Future<Output = Checked> + Send {
        self.finds(lease, State::Pending { abandoned: true }, Location::caller())
    }

    /// Finds that the attempt of `lease` succeeded with exactly this outcome.
    #[track_caller]
    pub(in crate::store::conformance) fn finds_success(
        &self,
        lease: &Lease,
        outcome: &Outcome,
    ) -> impl Future<Output = Checked> + Send {
        self.finds(lease, State::Success(outcome.clone()), Location::caller())
    }

    /// Finds that the attempt of `lease` failed with exactly this outcome, or with none.
    #[track_caller]
    pub(in crate::store::conformance) fn finds_failed(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
    ) -> impl Future<Output = Checked> + Send {
        self.finds(lease, State::Failed(outcome.cloned()), Location::caller())
    }

    /// Finds what `end` has made of the attempt of `lease`.
    #[track_caller]
    pub(in crate::store::conformance) fn finds_what_was_written(
        &self,
        lease: &Lease,
        end: Option<Write<'_>>,
    ) -> impl Future<Output = Checked> + Send {
        let state = end.map_or(State::Pending { abandoned: false }, |end| end.leaves());
        self.finds(lease, state, Location::caller())
    }

    pub(super) async fn finds(&self, lease: &Lease, state: State, at: At) -> Checked {
        let step = step("reserve", "the record does not yield to the request", at);
        let expected = record_of(lease, state);
        let reply = self.reserve(&step).await?;
        let said = match &reply.value {
            Reservation::Found(found) if same(found, &expected) => return Ok(()),
            Reservation::Found(found) => format!("Found {}", Told(found)),
            Reservation::Acquired(lease) => format!("Acquired, as attempt {}", lease.attempt),
        };
        let told = format!("Found {}", Told(&expected));
        let flaw = self.trial.flaw(&step, self.needs(&expected.state), reply.ended, told, said);
        self.trial.reserved(&reply);
        Err(flaw)
    }

    /// What a record in this state needs.
    pub(super) fn needs(&self, state: &State) -> Needs {
        match state {
            State::Pending { abandoned: false } => Needs::Lease(self.request.key),
            _ => Needs::Record(self.request.key),
        }
    }
}
