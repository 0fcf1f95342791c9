//! A lease in hand: it is kept alive while the attempt runs, and settled when it has ended.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::admit::Reserved;
use super::{store_failed, within};
use crate::attempt::Attempt;
use crate::config::Config;
use crate::outcome::{KeptBody, Outcome};
use crate::shared::Shared;
use crate::store::{Lease, Record, Settlement, State, Store, StoreError};
use crate::waiting::{News, Place};
use crate::{task, telemetry};

/// The pause before a write is repeated in the background; it doubles up to a quarter of a beat.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// How long a write is repeated after its lease has lapsed. Until somebody takes the record over it still applies, and
/// while the store is down nobody can.
const PERSISTENCE: Duration = Duration::from_mins(1);

pub(super) struct Held<'a, St> {
    shared: &'a Arc<Shared<St>>,
    config: &'a Arc<Config>,
    attempt: Attempt,
    lease: Lease,
    /// When the latest reservation or renewal that was acknowledged was sent.
    renewed: Mutex<Instant>,
    place: Option<Place>,
}

/// How the attempt ended, for its record.
pub(super) enum Settle {
    Complete(Outcome),
    Fail(Option<Outcome>),
    Release,
}

/// What became of the write that settles the record.
pub(super) enum Settled {
    /// It is in the store.
    Kept,
    /// It is not in the store yet, and is repeated in the background.
    NotYet,
    /// Another attempt has taken the record over, or it is gone. Nothing was written.
    Lost,
}

impl<'a, St: Store> Held<'a, St> {
    pub(super) fn new(
        shared: &'a Arc<Shared<St>>,
        config: &'a Arc<Config>,
        attempt: Attempt,
        reserved: Reserved,
    ) -> Self {
        let Reserved { lease, since, place } = reserved;
        Self { shared, config, attempt, lease, renewed: Mutex::new(since), place }
    }

    /// Waits for a part of the attempt, and keeps the lease alive meanwhile.
    pub(super) fn renewed_during<F: Future>(&self, part: F) -> impl Future<Output = F::Output> {
        task::beside(part, || self.heartbeat())
    }

    /// Writes the end of the attempt into its record. If the store cannot take it now, the client need not wait: its
    /// answer was earned, the key stays taken, and the write is repeated for as long as it may still apply.
    pub(super) async fn settle(&self, settle: Settle) -> Settled {
        let key = &self.lease.key;
        match settle.write(&self.shared.store, &self.lease, self.config).await {
            Ok(Settlement::Applied) => {
                telemetry::settled(settle.word(), "kept");
                if let (Some(place), Settle::Complete(outcome)) = (&self.place, settle) {
                    place.tell(|| News::Found(self.success(outcome)));
                }
                Settled::Kept
            }
            Ok(Settlement::LeaseLost) => {
                telemetry::settled(settle.word(), "lease_lost");
                tracing::warn!(%key, "the lease was lost; the answer was not kept");
                self.attempt.lose_lease();
                Settled::Lost
            }
            Err(error) => {
                store_failed(settle.word(), key, &error);
                telemetry::settled(settle.word(), "repeated");
                tracing::error!(%key, "the answer is not kept yet; it is written again in the background");
                self.repeat(settle);
                Settled::NotYet
            }
        }
    }

    /// The answer of another attempt that has finished while this one had lost its lease.
    pub(super) async fn overtaken_by(&self) -> Option<Outcome> {
        let Self { shared, config, lease, .. } = self;
        let inspected = within(config.store_timeout, shared.store.inspect(&lease.key)).await;
        let record = inspected.inspect_err(|error| store_failed("inspect", &lease.key, error)).ok()??;
        match record.state {
            State::Success(outcome @ Outcome { body: KeptBody::Whole { .. }, .. })
                if record.fingerprint == lease.fingerprint =>
            {
                Some(outcome)
            }
            _ => None,
        }
    }

    fn success(&self, outcome: Outcome) -> Record {
        let Lease { fingerprint, attempt, token, .. } = self.lease;
        Record { fingerprint, attempt, token, state: State::Success(outcome) }
    }

    fn renewed(&self) -> Instant {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renews the lease at every third of it, until it is lost. The handler is told when it has lapsed because the store
    /// could not be asked; it is renewed all the same as soon as that is possible, for nobody may have taken over.
    async fn heartbeat(&self) {
        let Self { shared, config, attempt, lease, .. } = self;
        let beat = lease.lease / 3;
        let mut next = self.renewed() + beat;
        loop {
            let lapses = self.renewed() + lease.lease;
            let wake = if attempt.has_lost_lease() { next } else { next.min(lapses) };
            tokio::time::sleep_until(wake).await;
            let sent = Instant::now();
            let left = lapses.saturating_duration_since(sent);
            if left.is_zero() {
                attempt.lose_lease();
            }
            if sent < next {
                continue;
            }
            // A renewal that takes longer than a beat is of no use, and must not keep the next one from being sent.
            let most = if left.is_zero() { beat } else { beat.min(left) };
            next = match within(config.store_timeout.min(most), shared.store.renew(lease)).await {
                Ok(Settlement::Applied) => {
                    *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = sent;
                    sent + beat
                }
                Ok(Settlement::LeaseLost) => {
                    tracing::warn!(key = %lease.key, "the lease was lost while the attempt ran");
                    telemetry::lease_lost();
                    attempt.lose_lease();
                    return;
                }
                Err(error) => {
                    store_failed("renew", &lease.key, &error);
                    Instant::now() + beat / 4
                }
            };
        }
    }

    /// Repeats the write in the background.
    fn repeat(&self, settle: Settle) {
        let shared = Arc::clone(self.shared);
        let (config, lease) = (Arc::clone(self.config), self.lease.clone());
        let lapses = self.renewed() + self.lease.lease;
        let most = (lease.lease / 12).max(FIRST_PAUSE);
        self.shared.running.spawn(async move {
            let key = &lease.key;
            let mut pause = FIRST_PAUSE;
            let ended = loop {
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(most);
                match settle.write(&shared.store, &lease, &config).await {
                    Ok(Settlement::Applied) => break "kept",
                    Ok(Settlement::LeaseLost) => break "lease_lost",
                    Err(error) => store_failed(settle.word(), key, &error),
                }
                let patience = if shared.running.is_stopping() { Duration::ZERO } else { PERSISTENCE };
                if Instant::now() >= lapses + patience {
                    break "given_up";
                }
            };
            telemetry::repeated(settle.word(), ended);
            if ended == "kept" {
                tracing::info!(%key, "the answer is kept now");
            } else {
                tracing::error!(%key, ended, "the answer was not kept; a repeat of the request may run again");
            }
        });
    }
}

impl Settle {
    /// The word for it, in logs and metrics.
    fn word(&self) -> &'static str {
        match self {
            Self::Complete(_) => "complete",
            Self::Fail(_) => "fail",
            Self::Release => "release",
        }
    }

    async fn write<St: Store>(
        &self,
        store: &St,
        lease: &Lease,
        config: &Config,
    ) -> Result<Settlement, StoreError> {
        let (bound, retention) = (config.store_timeout, config.retention);
        match self {
            Self::Complete(outcome) => within(bound, store.complete(lease, outcome, retention)).await,
            Self::Fail(outcome) => within(bound, store.fail(lease, outcome.as_ref(), retention)).await,
            Self::Release => within(bound, store.release(lease)).await,
        }
    }
}
