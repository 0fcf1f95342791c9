//! The lease of a running attempt: renewed while the attempt runs, and settled at its end.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::admission::Reserved;
use super::beat::beat;
use super::events::LeaseLoss;
use super::permit::Permit;
use super::renewals::Renew;
use super::shared::{Shared, within};
use super::telemetry::{self, Began};
use super::waiting::Member;
use crate::handler::attempt::Attempt;
use crate::runtime::lock::lock;
use crate::settings::Config;
use crate::store::{Lease, Settlement, Store};

mod settling;

/// The lease of a running attempt. Dropping it ends the renewals.
pub(super) struct OwnedLease<St> {
    live: Arc<LiveLease<St>>,
    // Dropped before the attempt leaves its line. Otherwise a waiter wakes up and finds no
    // capacity.
    _permit: Permit,
    _line: LeavesLine<St>,
}

/// The part of the lease that the renewals share.
struct LiveLease<St> {
    shared: Arc<Shared<St>>,
    config: Arc<Config>,
    attempt: Attempt,
    lease: Lease,
    /// Locked while the lease is renewed.
    renewed: tokio::sync::Mutex<Renewed>,
    /// The lease is not renewed any more.
    is_given_up: AtomicBool,
    /// The line in which other requests of this process wait, as long as this attempt may provide
    /// the response.
    member: Mutex<Option<Member>>,
    span: Span,
}

#[derive(Clone, Copy)]
struct Renewed {
    /// The lease counts from here.
    since: Instant,
    next: Instant,
}

/// Leaves the line when it is dropped.
struct LeavesLine<St>(Arc<LiveLease<St>>);

impl<St> Drop for LeavesLine<St> {
    fn drop(&mut self) {
        drop(lock(&self.0.member).take());
    }
}

impl<St: Store> OwnedLease<St> {
    /// Starts the renewals of the lease. The lease of a transaction does not lapse, so it has none.
    pub(super) fn new(
        shared: &Arc<Shared<St>>,
        config: &Arc<Config>,
        attempt: Attempt,
        reserved: Reserved,
    ) -> Self {
        let Reserved { lease, since, member, permit } = reserved;
        let next = since + beat(lease.lease);
        let live = Arc::new(LiveLease {
            shared: Arc::clone(shared),
            config: Arc::clone(config),
            attempt,
            lease,
            renewed: tokio::sync::Mutex::new(Renewed { since, next }),
            is_given_up: AtomicBool::new(false),
            member: Mutex::new(member),
            span: Span::current(),
        });
        if !live.is_transaction() {
            shared.renewals.add(next, &live);
        }
        Self { _line: LeavesLine(Arc::clone(&live)), live, _permit: permit }
    }

    pub(super) fn is_transaction(&self) -> bool {
        self.live.is_transaction()
    }

    /// The lease as the store gave it.
    pub(super) fn lease(&self) -> &Lease {
        &self.live.lease
    }

    pub(super) fn has_taken_transaction(&self) -> bool {
        self.live.attempt.has_taken_transaction()
    }

    /// Whether the operation reported a conflict with another transaction.
    pub(super) fn has_conflict(&self) -> bool {
        self.live.attempt.has_conflict()
    }
}

impl<St: Store> LiveLease<St> {
    fn is_transaction(&self) -> bool {
        self.lease.transaction.is_some()
    }

    /// Tells the handler that its lease is lost, and leaves the line, because another attempt may
    /// have the response. Returns whether the handler did not know yet.
    fn lose_lease(&self) -> bool {
        drop(lock(&self.member).take());
        self.attempt.lose_lease()
    }

    /// Ends the renewals for good. One that is on its way ends first, because it would revive the
    /// lease.
    async fn end_renewals(&self) {
        self.is_given_up.store(true, Ordering::Release);
        self.shared.lapsed.given_up(&self.lease.key, &self.lease.token);
        let last = async {
            let _renewed = self.renewed.lock().await;
            Ok(())
        };
        // A thread that is blocked may hold it up. The lease then lapses later.
        let _ = within(self.config.store_timeout, last).await;
    }

    /// Renews the lease if a third of it has passed, and returns when to call again.
    ///
    /// If the store is down, the lease can lapse. The handler is then told. The layer still renews
    /// the lease as soon as it can, because it may be that no other attempt has taken over.
    async fn renew_now(&self) -> Option<Instant> {
        let Self { shared, config, attempt, lease, .. } = self;
        let mut renewed = self.renewed.lock().await;
        if self.is_given_up.load(Ordering::Acquire) {
            return None;
        }
        let Renewed { since, next } = *renewed;
        let (beat, lapses, now) = (beat(lease.lease), since + lease.lease, Instant::now());
        let left = lapses.saturating_duration_since(now);
        let is_settling = attempt.is_settling();
        if left.is_zero() && !is_settling && self.lose_lease() {
            shared.observer.lease_lost(lease, LeaseLoss::Lapsed);
            tracing::warn!(
                key = %lease.key,
                "lease lapsed while the attempt runs: the store could not renew it, so a retry may \
                 take over; stop the effects when `Attempt::lease_lost` says so"
            );
        }
        if now < next {
            return Some(self.next_look(next, lapses));
        }
        // A renewal that takes longer than a beat has no use, and must not delay the next one.
        let most = if left.is_zero() { beat } else { beat.min(left) };
        let reply = within(config.store_timeout.min(most), shared.store.renew(lease)).await;
        telemetry::store_took(lease.label.as_ref(), "renew", Began::at(now));
        match reply {
            Ok(Settlement::Applied) => {
                shared.observer.renewed(lease);
                shared.store_replied();
                let next = now + beat;
                *renewed = Renewed { since: now, next };
                Some(next)
            }
            Ok(Settlement::LeaseLost) => {
                if !attempt.is_settling() && self.lose_lease() {
                    shared.observer.lease_lost(lease, LeaseLoss::Taken);
                    tracing::warn!(
                        key = %lease.key,
                        "lease lost while the attempt runs: another attempt has taken over, or the \
                         record is gone; stop the effects when `Attempt::lease_lost` says so"
                    );
                }
                None
            }
            Err(error) => {
                shared.store_failed("renew", &lease.key, lease.label.as_ref(), &error);
                let next = Instant::now() + beat / 4;
                *renewed = Renewed { since, next };
                Some(self.next_look(next, lapses))
            }
        }
    }

    /// When to look at the lease again. The handler learns of a lapse at once, not at the next
    /// renewal.
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
