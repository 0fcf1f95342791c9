//! A lease in hand: it is renewed while the attempt runs, and settled when it has ended.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::admission::Reserved;
use super::beat::beat;
use super::permit::Permit;
use super::renewals::Renew;
use super::shared::{Shared, within};
use super::telemetry;
use super::waiting::Place;
use crate::handler::attempt::Attempt;
use crate::runtime::lock::lock;
use crate::settings::Config;
use crate::store::{Lease, Settlement, Store};

mod settling;

/// The lease of an attempt that runs. Dropping it ends the renewals.
pub(super) struct HeldLease<St> {
    live: Arc<LiveLease<St>>,
    // Given back before the place. Otherwise a waiter in the line wakes up and finds no capacity.
    _permit: Permit,
    _place: LeavesPlace<St>,
}

/// What the renewals need of it.
struct LiveLease<St> {
    shared: Arc<Shared<St>>,
    config: Arc<Config>,
    attempt: Attempt,
    lease: Lease,
    renewed: Mutex<Renewed>,
    /// Where others in this process wait for the response, while this attempt may give it.
    place: Mutex<Option<Place>>,
    span: Span,
}

#[derive(Clone, Copy)]
struct Renewed {
    /// The lease is reckoned from here.
    since: Instant,
    next: Instant,
}

struct LeavesPlace<St>(Arc<LiveLease<St>>);

impl<St> Drop for LeavesPlace<St> {
    fn drop(&mut self) {
        drop(lock(&self.0.place).take());
    }
}

impl<St: Store> HeldLease<St> {
    /// Takes the lease in hand, and has it renewed from now on. The lease of a transaction does not lapse.
    pub(super) fn new(
        shared: &Arc<Shared<St>>,
        config: &Arc<Config>,
        attempt: Attempt,
        reserved: Reserved,
    ) -> Self {
        let Reserved { lease, since, place, permit } = reserved;
        let next = since + beat(lease.lease);
        let live = Arc::new(LiveLease {
            shared: Arc::clone(shared),
            config: Arc::clone(config),
            attempt,
            lease,
            renewed: Mutex::new(Renewed { since, next }),
            place: Mutex::new(place),
            span: Span::current(),
        });
        if !live.is_transaction() {
            shared.renewals.add(next, &live);
        }
        Self { _place: LeavesPlace(Arc::clone(&live)), live, _permit: permit }
    }

    pub(super) fn is_transaction(&self) -> bool {
        self.live.is_transaction()
    }

    /// Whether the operation said that another transaction was in the way.
    pub(super) fn has_conflict(&self) -> bool {
        self.live.attempt.has_conflict()
    }
}

impl<St: Store> LiveLease<St> {
    fn is_transaction(&self) -> bool {
        self.lease.transaction.is_some()
    }

    /// Tells the handler that its lease is lost, and lets those go who wait for this attempt: another one may have the
    /// response. Whether it was news.
    fn lose_lease(&self) -> bool {
        drop(lock(&self.place).take());
        self.attempt.lose_lease()
    }

    /// Renews the lease at every third of it. The handler is told when it has lapsed because the store could not be asked;
    /// it is renewed all the same as soon as that is possible, because no other attempt may have taken over.
    async fn renew_now(&self) -> Option<Instant> {
        let Self { shared, config, attempt, lease, .. } = self;
        let Renewed { since, next } = *lock(&self.renewed);
        let (beat, lapses, now) = (beat(lease.lease), since + lease.lease, Instant::now());
        let left = lapses.saturating_duration_since(now);
        let is_settling = attempt.is_settling();
        if left.is_zero() && !is_settling && self.lose_lease() {
            telemetry::lease_lost("lapsed");
            tracing::warn!(key = %lease.key, "lease lapsed while the attempt runs: the store could not renew it");
        }
        if now < next {
            return Some(self.next_look(next, lapses));
        }
        // A renewal that takes longer than a beat is of no use, and must not keep the next one from being sent.
        let most = if left.is_zero() { beat } else { beat.min(left) };
        match within(config.store_timeout.min(most), shared.store.renew(lease)).await {
            Ok(Settlement::Applied) => {
                shared.store_answered();
                let next = now + beat;
                *lock(&self.renewed) = Renewed { since: now, next };
                Some(next)
            }
            Ok(Settlement::LeaseLost) => {
                if !attempt.is_settling() && self.lose_lease() {
                    telemetry::lease_lost("taken");
                    tracing::warn!(key = %lease.key, "lease lost while the attempt runs");
                }
                None
            }
            Err(error) => {
                shared.store_failed("renew", &lease.key, &error);
                let next = Instant::now() + beat / 4;
                *lock(&self.renewed) = Renewed { since, next };
                Some(self.next_look(next, lapses))
            }
        }
    }

    /// When to look at the lease again: the handler learns of a lapse at once, and not at the next renewal.
    fn next_look(&self, next: Instant, lapses: Instant) -> Instant {
        let is_told = self.attempt.has_lost_lease() || self.attempt.is_settling();
        if is_told { next } else { next.min(lapses) }
    }
}

impl<St: Store> Renew for LiveLease<St> {
    fn renew(self: Arc<Self>) -> Pin<Box<dyn Future<Output = Option<Instant>> + Send>> {
        let span = self.span.clone();
        Box::pin(async move { self.renew_now().await }.instrument(span))
    }
}
