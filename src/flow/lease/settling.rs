//! How the end of an attempt gets into its record.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::settle::{Settle, Settled, Written};
use super::{HeldLease, LiveLease};
use crate::flow::shared::within;
use crate::flow::telemetry;
use crate::flow::waiting::News;
use crate::record::outcome::Outcome;
use crate::runtime::lock::lock;
use crate::store::{Lease, Record, Settlement, State, Store, StoreErrorKind};

/// The pause before a write is retried in the background; it doubles up to the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long a write is retried, if the lease is not longer.
const PERSISTENCE: Duration = Duration::from_mins(1);

impl<St: Store> HeldLease<St> {
    /// Writes the end of the attempt into its record. If the store cannot take it now, the client need not wait: its
    /// response was earned, the key stays taken, and the write is retried for as long as it may still apply.
    pub(in crate::flow) async fn settle(self, settle: Settle) -> Settled {
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
                shared.running.spawn(self.settle_later(settle, kind));
                Settled::Stored
            }
        }
    }

    /// Retries the write. The lease is renewed meanwhile, so that the operation does not run again in between.
    ///
    /// The body of the response is given up if the store rejects it, or if the writes that are retried
    /// hold as many bytes as they may.
    async fn settle_later(self, mut settle: Settle, failure: StoreErrorKind) {
        let LiveLease { shared, config, lease, place, .. } = &*self.live;
        drop(lock(place).take());
        let bytes = config.holding.retried(lease.scope, settle.bytes());
        if (bytes.is_none() || failure.rejects_response())
            && let Some(less) = settle.without_body()
        {
            tracing::warn!(key = %lease.key, "response body given up: a retry of the client gets 409");
            settle = less;
            drop(bytes);
        }
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
                Written::Failed(StoreErrorKind::Full | StoreErrorKind::ScopeFull) => {
                    patience = lease.retention;
                }
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
                    StoreErrorKind::TransactionLost => tracing::error!(
                        %key, source = error.source(),
                        "attempt rolled back: its handler left a transaction that cannot be committed"
                    ),
                    StoreErrorKind::Conflict if self.is_transaction() => {
                        tracing::debug!(%key, "the attempt was rolled back: {error}");
                    }
                    _ => shared.store_failed(word, key, &error),
                }
                Written::Failed(error.kind())
            }
        }
    }

    /// Tells those who wait for the response what it is.
    fn tell(&self, settle: Settle) {
        if let (Some(place), Settle::Complete(outcome, _)) = (&*lock(&self.place), settle) {
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
}
