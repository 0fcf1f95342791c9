//! A lease in hand: it is kept alive while the attempt runs, and settled when it has ended.

use std::future::{Future, pending};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::admit::Reserved;
use super::heartbeat::{self, Heartbeat};
use super::limits::Permit;
use crate::attempt::Attempt;
use crate::config::Config;
use crate::mutex::held;
use crate::outcome::Outcome;
use crate::shared::{Shared, within};
use crate::store::{ErrorKind, Lease, Record, Settlement, State, Store, StoreError};
use crate::waiting::{News, Place};
use crate::{task, telemetry};

/// The pause before a write is repeated in the background; it doubles up to the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long a write is repeated, if the lease is not longer. Until somebody takes the record over it still applies, and
/// while the store is down nobody can.
const PERSISTENCE: Duration = Duration::from_mins(1);

pub(super) struct Held<St> {
    shared: Arc<Shared<St>>,
    config: Arc<Config>,
    attempt: Attempt,
    lease: Lease,
    since: Instant,
    heartbeat: Mutex<Option<Heartbeat>>,
    // Given back before the place, or whoever waits there is woken and finds no room.
    _permit: Permit,
    place: Mutex<Option<Place>>,
}

/// How the attempt ended, for its record.
pub(super) enum Settle {
    Complete(Outcome, Duration),
    Fail(Option<Outcome>, Duration),
    Release,
}

/// What became of the write that settles the record.
pub(super) enum Settled {
    /// It is in the store, or is repeated in the background until it is.
    Kept,
    /// Another attempt has taken the record over, or it is gone. Nothing was written.
    Lost,
    /// The transaction of the attempt was rolled back, or nobody knows whether it was: the answer does not count.
    NotCommitted(ErrorKind),
}

impl<St: Store> Held<St> {
    pub(super) fn new(
        shared: &Arc<Shared<St>>,
        config: &Arc<Config>,
        attempt: Attempt,
        reserved: Reserved,
    ) -> Arc<Self> {
        let Reserved { lease, since, place, permit } = reserved;
        // Behind a pointer, for a background task may need it longer than the flow does.
        Arc::new(Self {
            shared: Arc::clone(shared),
            config: Arc::clone(config),
            attempt,
            lease,
            since,
            heartbeat: Mutex::new(None),
            _permit: permit,
            place: Mutex::new(place),
        })
    }

    pub(super) fn is_transaction(&self) -> bool {
        self.lease.transaction.is_some()
    }

    /// Waits for a part of the attempt, and keeps the lease alive meanwhile. When it is lost, those who wait for this
    /// attempt are let go, for another one may have the answer.
    pub(super) fn renewed_during<F: Future>(&self, part: F) -> impl Future<Output = F::Output> {
        task::beside(part, || async {
            self.keep_alive();
            self.attempt.lease_lost().await;
            drop(held(&self.place).take());
            pending::<()>().await;
        })
    }

    /// Begins to renew the lease, from now until this is dropped or the lease is lost. The lease of a transaction does
    /// not lapse.
    pub(super) fn keep_alive(&self) {
        if self.is_transaction() {
            return;
        }
        held(&self.heartbeat).get_or_insert_with(|| {
            heartbeat::start(&self.shared, &self.config, &self.attempt, &self.lease, self.since)
        });
    }

    /// Writes the end of the attempt into its record. If the store cannot take it now, the client need not wait: its
    /// answer was earned, the key stays taken, and the write is repeated for as long as it may still apply.
    pub(super) async fn settle(self: &Arc<Self>, settle: Settle) -> Settled {
        let key = &self.lease.key;
        self.attempt.begin_settling();
        match self.renewed_during(settle.write(self)).await {
            Ok(Settlement::Applied) => {
                telemetry::settled(settle.word(), "kept");
                if let (Some(place), Settle::Complete(outcome, _)) = (&*held(&self.place), settle) {
                    place.tell(|| News::Found(self.success(outcome)));
                }
                Settled::Kept
            }
            Ok(Settlement::LeaseLost) => {
                telemetry::settled(settle.word(), "lease_lost");
                tracing::warn!(%key, "the lease was lost; what the attempt came to is not kept");
                self.attempt.lose_lease();
                drop(held(&self.place).take());
                Settled::Lost
            }
            Err(error) if self.is_transaction() => {
                match error.kind() {
                    ErrorKind::TransactionLost => {
                        let why = std::error::Error::source(&error);
                        tracing::error!(%key, why, "the transaction of the attempt is lost: a fault of its handler");
                    }
                    ErrorKind::Conflict => tracing::debug!(%key, "the attempt was rolled back: {error}"),
                    _ => self.shared.store_failed(settle.word(), key, &error),
                }
                telemetry::settled(settle.word(), "not_committed");
                Settled::NotCommitted(error.kind())
            }
            Err(error) => {
                self.shared.store_failed(settle.word(), key, &error);
                telemetry::settled(settle.word(), "repeated");
                self.shared.running.spawn(Arc::clone(self).settle_later(settle));
                Settled::Kept
            }
        }
    }

    /// Repeats the write, and keeps the lease alive meanwhile, so that nobody runs the operation again in between.
    async fn settle_later(self: Arc<Self>, settle: Settle) {
        drop(held(&self.place).take());
        self.keep_alive();
        let (key, running) = (&self.lease.key, &self.shared.running);
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        let ended = loop {
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
            match settle.write(&self).await {
                Ok(Settlement::Applied) => break "kept",
                // What was to be removed is gone.
                Ok(Settlement::LeaseLost) if matches!(settle, Settle::Release) => break "kept",
                Ok(Settlement::LeaseLost) => {
                    self.attempt.lose_lease();
                    break "lease_lost";
                }
                Err(error) => self.shared.store_failed(settle.word(), key, &error),
            }
            let patience =
                if running.is_stopping() { self.lease.lease } else { PERSISTENCE.max(self.lease.lease) };
            if begun.elapsed() >= patience {
                break "given_up";
            }
        };
        telemetry::repeated(settle.word(), ended);
        if ended == "kept" {
            tracing::info!(%key, "what the attempt came to is kept now");
        } else {
            tracing::error!(%key, ended, "what the attempt came to is not kept; a repeat may run again");
        }
    }

    /// The answer of another attempt that has finished while this one had lost its lease.
    pub(super) async fn overtaken_by(&self) -> Option<Outcome> {
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

    fn success(&self, outcome: Outcome) -> Record {
        let Lease { fingerprint, attempt, token, .. } = self.lease;
        Record { fingerprint, attempt, token, state: State::Success(outcome) }
    }
}

impl Settle {
    /// The word for it, in logs and metrics.
    fn word(&self) -> &'static str {
        match self {
            Self::Complete(..) => "complete",
            Self::Fail(..) => "fail",
            Self::Release => "release",
        }
    }

    async fn write<St: Store>(&self, record: &Held<St>) -> Result<Settlement, StoreError> {
        let Held { shared, config, lease, .. } = record;
        let (store, bound) = (&shared.store, config.store_timeout);
        match self {
            Self::Complete(outcome, retention) => {
                let packed = config.pack(lease, outcome, false)?;
                let outcome = packed.as_deref().unwrap_or(outcome);
                within(bound, store.complete(lease, outcome, *retention)).await
            }
            Self::Fail(outcome, retention) => {
                let packed = match outcome {
                    Some(outcome) => config.pack(lease, outcome, true)?,
                    None => None,
                };
                let outcome = packed.as_deref().or(outcome.as_ref());
                within(bound, store.fail(lease, outcome, *retention)).await
            }
            Self::Release => within(bound, store.release(lease)).await,
        }
    }
}
