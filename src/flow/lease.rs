//! A lease in hand: it is renewed while the attempt runs, and settled when it has ended.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::admission::Reserved;
use super::beat::beat;
use super::limits::Permit;
use super::settle::{Settle, Settled, Written};
use crate::attempt::Attempt;
use crate::config::Config;
use crate::mutex::held;
use crate::outcome::Outcome;
use crate::renewals::Renew;
use crate::shared::{Shared, within};
use crate::store::{ErrorKind, Lease, Record, Settlement, State, Store};
use crate::telemetry;
use crate::waiting::{News, Place};

/// The pause before a write is retried in the background; it doubles up to the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long a write is retried, if the lease is not longer. Until another attempt takes the record over it still applies,
/// and while the store is down none can.
const PERSISTENCE: Duration = Duration::from_mins(1);

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
        drop(held(&self.0.place).take());
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

    /// Writes the end of the attempt into its record. If the store cannot take it now, the client need not wait: its
    /// response was earned, the key stays taken, and the write is retried for as long as it may still apply.
    pub(super) async fn settle(self, settle: Settle) -> Settled {
        let (word, written) = (settle.word(), self.live.write_once(&settle).await);
        let result = match &written {
            Written::Applied => "kept",
            Written::LeaseLost => "lease_lost",
            Written::Failed(_) if self.is_transaction() => "not_committed",
            Written::Failed(_) => "repeated",
        };
        telemetry::settled(word, result);
        match written {
            Written::Applied => {
                self.live.tell(settle);
                Settled::Stored
            }
            Written::LeaseLost => Settled::Lost(self.live.overtaken_by().await),
            Written::Failed(kind) if self.is_transaction() => Settled::NotCommitted(kind),
            Written::Failed(kind) => {
                let shared = Arc::clone(&self.live.shared);
                // A full store has no place for the body later either, and until then it takes memory here.
                let less = kind.rejects_response().then(|| settle.without_body()).flatten();
                shared.running.spawn(self.settle_later(less.unwrap_or(settle)));
                Settled::Stored
            }
        }
    }

    /// Retries the write. The lease is renewed meanwhile, so that the operation does not run again in between.
    async fn settle_later(self, settle: Settle) {
        let LiveLease { shared, lease, place, .. } = &*self.live;
        drop(held(place).take());
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut patience = PERSISTENCE.max(lease.lease);
        let ended = loop {
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
            match self.live.write_once(&settle).await {
                Written::Applied => break "kept",
                // What was to be released is gone.
                Written::LeaseLost if matches!(settle, Settle::Release) => break "kept",
                Written::LeaseLost => break "lease_lost",
                // Without a record the operation would run again, and a full store may be full for long.
                Written::Failed(ErrorKind::Full | ErrorKind::ScopeFull) => patience = lease.retention,
                Written::Failed(_) => {}
            }
            if shared.running.is_stopping() {
                patience = lease.lease;
            }
            if begun.elapsed() >= patience {
                break "given_up";
            }
        };
        telemetry::repeated(settle.word(), ended);
        let key = &lease.key;
        if ended == "kept" {
            tracing::info!(%key, "response stored after retry");
        } else {
            tracing::error!(%key, ended, "response not stored: a retry of the client may run again");
        }
    }
}

impl<St: Store> LiveLease<St> {
    fn is_transaction(&self) -> bool {
        self.lease.transaction.is_some()
    }

    /// Tells the handler that its lease is lost, and lets those go who wait for this attempt: another one may have the
    /// response. Whether it was news.
    fn lose_lease(&self) -> bool {
        drop(held(&self.place).take());
        self.attempt.lose_lease()
    }

    /// Writes the end of the attempt once. What the store rejects for good is written without its body, and if need be
    /// without its `Location`; in a transaction, everything was rolled back with it.
    async fn write_once(&self, settle: &Settle) -> Written {
        let Self { shared, config, lease, .. } = self;
        let (key, word) = (&lease.key, settle.word());
        self.attempt.begin_settling();
        let mut written = settle.write(&shared.store, config, lease).await;
        for smaller in [Settle::without_body, Settle::without_headers] {
            if let Err(error) = &written
                && error.kind().rejects_response()
                && !self.is_transaction()
                && let Some(less) = smaller(settle)
            {
                shared.response_rejected(key, error);
                written = less.write(&shared.store, config, lease).await;
            }
        }
        match written {
            Ok(Settlement::Applied) => Written::Applied,
            Ok(Settlement::LeaseLost) => {
                if !matches!(settle, Settle::Release) {
                    tracing::warn!(%key, "lease lost: the response of this attempt is not stored");
                }
                self.lose_lease();
                Written::LeaseLost
            }
            Err(error) => {
                match error.kind() {
                    ErrorKind::TransactionLost => tracing::error!(
                        %key, source = error.source(),
                        "attempt rolled back: its handler left a transaction that cannot be committed"
                    ),
                    ErrorKind::Conflict => tracing::debug!(%key, "the attempt was rolled back: {error}"),
                    _ => shared.store_failed(word, key, &error),
                }
                Written::Failed(error.kind())
            }
        }
    }

    /// Tells those who wait for the response what it is.
    fn tell(&self, settle: Settle) {
        if let (Some(place), Settle::Complete(outcome, _)) = (&*held(&self.place), settle) {
            let Lease { fingerprint, attempt, token, .. } = self.lease;
            let state = State::Success(outcome);
            place.tell(|| News::Found(Record { fingerprint, attempt, token, state }));
        }
    }

    /// The response of another attempt that has finished while this one had lost its lease.
    async fn overtaken_by(&self) -> Option<Outcome> {
        let Self { shared, config, lease, .. } = self;
        let inspected = within(config.store_timeout, shared.store.inspect(&lease.key)).await;
        let record = inspected
            .and_then(|found| found.map(|record| config.unpack(&lease.key, record)).transpose())
            .inspect_err(|error| shared.store_failed("inspect", &lease.key, error))
            .ok()??;
        match record.state {
            State::Success(outcome) if record.fingerprint == lease.fingerprint && outcome.is_replayable() => {
                Some(outcome)
            }
            _ => None,
        }
    }

    /// Renews the lease at every third of it. The handler is told when it has lapsed because the store could not be asked;
    /// it is renewed all the same as soon as that is possible, because no other attempt may have taken over.
    async fn renew_now(&self) -> Option<Instant> {
        let Self { shared, config, attempt, lease, .. } = self;
        let Renewed { since, next } = *held(&self.renewed);
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
                *held(&self.renewed) = Renewed { since: now, next };
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
                *held(&self.renewed) = Renewed { since, next };
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
