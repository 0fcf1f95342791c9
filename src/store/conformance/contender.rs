//! The words in which the checks are written: a [`Contender`] for a key, and what it expects to come about.

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use super::super::{
    Lease, PreviousAttempt, Record, Reservation, ReserveRequest, RetryFailed, Settlement, State, Store,
    StoreError,
};
use super::given::{answer, fingerprint, fresh_key, large_answer, scope};
use super::told::{Told, Write};
use crate::record::outcome::Outcome;

mod waits;

/// One of those who want a key: what it asks for, and of which store.
///
/// What it expects is in the name of each method; if something else comes about, the method panics and names the
/// line of the check that called it.
pub(super) struct Contender<'a, S> {
    pub(super) store: &'a S,
    pub(super) unit: Duration,
    pub(super) request: ReserveRequest,
}

impl<'a, S: Store> Contender<'a, S> {
    /// Wants a key that nobody has used, with a lease that outlasts every check, and takes over nothing.
    pub(super) fn new(store: &'a S, unit: Duration) -> Self {
        let request = ReserveRequest::new(fresh_key(), fingerprint("an operation"))
            .scope(scope())
            .lease(unit.mul_f64(20.0))
            .retention(unit.mul_f64(40.0))
            .retry_failed(RetryFailed::Never)
            .retry_abandoned(false);
        Self { store, unit, request }
    }

    /// Another contender for the same key, which asks for something else.
    fn but(&self, change: impl FnOnce(&mut ReserveRequest)) -> Self {
        let mut request = self.request.clone();
        change(&mut request);
        Self { store: self.store, unit: self.unit, request }
    }

    pub(super) fn with_lease(&self, units: f64) -> Self {
        self.but(|request| request.lease = self.unit.mul_f64(units))
    }

    pub(super) fn with_retention(&self, units: f64) -> Self {
        self.but(|request| request.retention = self.unit.mul_f64(units))
    }

    pub(super) fn rerunning_failed(&self) -> Self {
        self.but(|request| request.retry_failed = RetryFailed::Any)
    }

    pub(super) fn rerunning_failure_of(&self, awaited: &Lease) -> Self {
        self.but(|request| request.retry_failed = RetryFailed::Only(awaited.token))
    }

    pub(super) fn rerunning_abandoned(&self) -> Self {
        self.but(|request| request.retry_abandoned = true)
    }

    pub(super) fn but_rerunning_nothing(&self) -> Self {
        self.but(|request| {
            request.retry_failed = RetryFailed::Never;
            request.retry_abandoned = false;
        })
    }

    /// Wants the key of `other`.
    pub(super) fn for_the_key_of(&self, other: &Self) -> Self {
        self.but(|request| request.key = other.request.key)
    }

    pub(super) fn with_another_operation(&self) -> Self {
        self.but(|request| request.fingerprint = fingerprint("another operation"))
    }

    /// Lets time pass.
    pub(super) async fn after(&self, units: f64) -> &Self {
        tokio::time::sleep(self.unit.mul_f64(units)).await;
        self
    }

    pub(super) async fn inspects(&self) -> Option<Record> {
        self.store.inspect(&self.request.key).await.unwrap_or_else(|error| broken("inspect", &error))
    }

    pub(super) async fn reserve(&self) -> Reservation {
        self.store.reserve(&self.request).await.unwrap_or_else(|error| broken("reserve", &error))
    }

    /// Acquires the key as if nobody ever had it.
    #[track_caller]
    pub(super) fn acquires_first(&self) -> impl Future<Output = Lease> + Send {
        self.acquires(1, None, Location::caller())
    }

    /// Takes the record over.
    #[track_caller]
    pub(super) fn takes_over(
        &self,
        attempt: u32,
        previous: PreviousAttempt,
    ) -> impl Future<Output = Lease> + Send {
        self.acquires(attempt, Some(previous), Location::caller())
    }

    async fn acquires(
        &self,
        attempt: u32,
        previous: Option<PreviousAttempt>,
        at: &'static Location<'static>,
    ) -> Lease {
        let lease = match self.reserve().await {
            Reservation::Acquired(lease) => lease,
            Reservation::Found(record) => {
                panic!("{at}: the key should have been acquired, but there was {}", Told(&record))
            }
        };
        let ReserveRequest { key, fingerprint, lease: time, retention, .. } = &self.request;
        assert_eq!(lease.attempt, attempt, "{at}: the number of the attempt");
        assert_eq!(lease.previous, previous, "{at}: what the attempt before came to");
        let replaces = lease.replaces.is_some();
        assert_eq!(
            replaces,
            previous.is_some(),
            "{at}: whether the lease has the token of the record before"
        );
        assert_eq!(lease.key, *key, "{at}: the key of the lease");
        assert_eq!(lease.fingerprint, *fingerprint, "{at}: the fingerprint of the lease");
        assert_eq!(lease.lease, *time, "{at}: the duration of the lease");
        assert_eq!(lease.retention, *retention, "{at}: the retention of the pending record");
        lease
    }

    /// Finds the attempt of `lease` pending and alive.
    #[track_caller]
    pub(super) fn finds_running(&self, lease: &Lease) -> impl Future<Output = ()> + Send {
        self.finds(lease, State::Pending { abandoned: false }, Location::caller())
    }

    /// Finds the attempt of `lease` pending, with its lease lapsed.
    #[track_caller]
    pub(super) fn finds_abandoned(&self, lease: &Lease) -> impl Future<Output = ()> + Send {
        self.finds(lease, State::Pending { abandoned: true }, Location::caller())
    }

    /// Finds that the attempt of `lease` succeeded with exactly this outcome.
    #[track_caller]
    pub(super) fn finds_success(&self, lease: &Lease, outcome: &Outcome) -> impl Future<Output = ()> + Send {
        self.finds(lease, State::Success(outcome.clone()), Location::caller())
    }

    /// Finds that the attempt of `lease` failed with exactly this outcome, or with none.
    #[track_caller]
    pub(super) fn finds_failed(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
    ) -> impl Future<Output = ()> + Send {
        self.finds(lease, State::Failed(outcome.cloned()), Location::caller())
    }

    async fn finds(&self, lease: &Lease, state: State, at: &'static Location<'static>) {
        let Lease { fingerprint, attempt, token, .. } = *lease;
        let expected = Record::new(fingerprint, attempt, token, state);
        let found = match self.reserve().await {
            Reservation::Found(record) => record,
            Reservation::Acquired(lease) => panic!(
                "{at}: there should have been {}, but the key was acquired as attempt {}",
                Told(&expected),
                lease.attempt
            ),
        };
        assert!(
            same(&found, &expected),
            "{at}: there should have been {}, but there was {}",
            Told(&expected),
            Told(&found)
        );
    }

    /// Writes; what is finished by it is kept longer than any check lasts.
    pub(super) async fn writes(&self, lease: &Lease, write: Write<'_>) -> Settlement {
        self.writes_for(lease, write, self.unit.mul_f64(40.0)).await
    }

    async fn writes_for(&self, lease: &Lease, write: Write<'_>, retention: Duration) -> Settlement {
        match write {
            Write::Complete(outcome) => self.store.complete(lease, outcome, retention).await,
            Write::Fail(outcome) => self.store.fail(lease, outcome, retention).await,
            Write::Release => self.store.release(lease).await,
            Write::Renew => self.store.renew(lease).await,
        }
        .unwrap_or_else(|error| broken("settle", &error))
    }

    /// Writes, and the write is applied.
    #[track_caller]
    pub(super) fn applies(&self, lease: &Lease, write: Write<'_>) -> impl Future<Output = ()> + Send {
        self.applies_by(lease, write, self.unit.mul_f64(40.0), Location::caller())
    }

    /// Writes for a retention of that many units, and the write is applied.
    #[track_caller]
    pub(super) fn applies_for(
        &self,
        units: f64,
        lease: &Lease,
        write: Write<'_>,
    ) -> impl Future<Output = ()> + Send {
        self.applies_by(lease, write, self.unit.mul_f64(units), Location::caller())
    }

    /// Writes for the shortest retention that there is, and the write is applied.
    #[track_caller]
    pub(super) fn applies_for_a_nanosecond(
        &self,
        lease: &Lease,
        write: Write<'_>,
    ) -> impl Future<Output = ()> + Send {
        self.applies_by(lease, write, Duration::from_nanos(1), Location::caller())
    }

    async fn applies_by(
        &self,
        lease: &Lease,
        write: Write<'_>,
        retention: Duration,
        at: &'static Location<'static>,
    ) {
        let settlement = self.writes_for(lease, write, retention).await;
        assert_eq!(settlement, Settlement::Applied, "{at}: {write}");
    }

    /// Writes, and is told that the lease is lost.
    #[track_caller]
    pub(super) fn loses(&self, lease: &Lease, write: Write<'_>) -> impl Future<Output = ()> + Send {
        self.loses_by(lease, write, Location::caller())
    }

    async fn loses_by(&self, lease: &Lease, write: Write<'_>, at: &'static Location<'static>) {
        let settlement = self.writes(lease, write).await;
        assert_eq!(settlement, Settlement::LeaseLost, "{at}: {write}");
    }

    /// Tries every settling write, with small and large answers, and is told each time that the lease is lost.
    #[track_caller]
    pub(super) fn loses_every_write(&self, lease: &Lease) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        async move {
            let small = answer(201, "of a writer that is too late");
            let large = large_answer(201, b'L');
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
                self.loses_by(lease, write, at).await;
            }
        }
    }
}

fn same(a: &Record, b: &Record) -> bool {
    let states = match (&a.state, &b.state) {
        (State::Pending { abandoned: a }, State::Pending { abandoned: b }) => a == b,
        (State::Success(a), State::Success(b)) => a == b,
        (State::Failed(a), State::Failed(b)) => a == b,
        _ => false,
    };
    states && (a.fingerprint, a.attempt, a.token) == (b.fingerprint, b.attempt, b.token)
}

fn broken(operation: &str, error: &StoreError) -> ! {
    panic!("{operation} should have been answered, but the store says: {error} ({error:?})")
}
