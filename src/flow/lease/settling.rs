//! Writes the end of an attempt into its record.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::{LiveLease, OwnedLease};
use crate::flow::events::{NotStored, Origin};
use crate::flow::settle::{SettleAs, SettleResult, WriteResult};
use crate::flow::shared::within;
use crate::flow::telemetry;
use crate::flow::waiting::News;
use crate::record::outcome::Outcome;
use crate::runtime::lock::lock;
use crate::store::{Lease, Record, Settlement, State, Store, StoreErrorKind};

/// The first pause before a write is retried in the background. It doubles up to the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long a write is retried, if the lease is not longer.
const PERSISTENCE: Duration = Duration::from_mins(1);

impl<St: Store> OwnedLease<St> {
    /// Writes the end of the attempt into its record.
    ///
    /// If the store fails, the layer retries the write as long as it can still apply, and the key
    /// stays reserved. The client gets its response as soon as the write succeeds, and after the
    /// store timeout in any case. Until then nothing proves that its operation was done: if this
    /// process ended, a retry would run in doubt or be rejected.
    #[expect(clippy::manual_async_fn, reason = "an async fn would store its arguments twice")]
    pub(in crate::flow) fn settle(
        self,
        end: SettleAs,
    ) -> impl Future<Output = SettleResult> + Send {
        async move {
            if matches!(end, SettleAs::Abandon) {
                Box::pin(self.live.end_renewals()).await;
            }
            let (word, written) = (end.word(), self.live.write_once(&end).await);
            let result = match &written {
                WriteResult::Applied => "stored",
                WriteResult::LeaseLost => "lease_lost",
                WriteResult::Failed(_) if self.is_transaction() => "not_committed",
                WriteResult::Failed(_) => "retried",
            };
            let LiveLease { shared, lease, .. } = &*self.live;
            telemetry::settled(lease.label.as_ref(), word, result);
            match written {
                WriteResult::Applied => {
                    self.live.tell(end);
                    SettleResult::Stored
                }
                WriteResult::LeaseLost => {
                    shared.observer.not_stored(lease, NotStored::LeaseLost);
                    SettleResult::LeaseLost(Box::pin(self.live.overtaken_by()).await)
                }
                WriteResult::Failed(kind) if self.is_transaction() => {
                    shared.observer.not_stored(lease, NotStored::NotCommitted(kind));
                    SettleResult::NotCommitted(kind)
                }
                WriteResult::Failed(kind) => {
                    shared.observer.write_retried(lease, kind);
                    let patience = match end {
                        SettleAs::Complete(..) if kind.is_outage() => {
                            self.live.config.store_timeout
                        }
                        _ => Duration::ZERO,
                    };
                    let (ends, ended) = oneshot::channel();
                    let shared = Arc::clone(shared);
                    shared.running.spawn(Box::pin(async move {
                        self.settle_later(end, kind).await;
                        drop::<oneshot::Sender<()>>(ends);
                    }));
                    let _ = Box::pin(timeout(patience, ended)).await;
                    SettleResult::Stored
                }
            }
        }
    }

    /// Retries the write. The lease is renewed meanwhile, so that the operation does not run again.
    /// One that is to be given up is not renewed, and lapses by itself at the latest.
    ///
    /// The body of the response is dropped in two cases: the store rejects it, or the limit of
    /// bytes for retried writes is reached.
    async fn settle_later(self, mut end: SettleAs, failure: StoreErrorKind) {
        let LiveLease { shared, config, lease, member, .. } = &*self.live;
        drop(lock(member).take());
        let bytes = config.budgets.retried_bytes(lease.scope, end.bytes());
        if (bytes.is_none() || failure.rejects_response())
            && let Some(less) = end.without_body()
        {
            tracing::warn!(
                key = %lease.key,
                "response body dropped: the store rejects it, or the retried writes take too many \
                 bytes; a retry of the client gets 409"
            );
            end = less;
            drop(bytes);
        }
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut patience = match end {
            SettleAs::Abandon => lease.lease,
            _ => PERSISTENCE.max(lease.lease),
        };
        let ended = loop {
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
            match self.live.write_once(&end).await {
                WriteResult::Applied => break "stored",
                // The record that was to be released or given up is gone.
                WriteResult::LeaseLost if end.stores_nothing() => {
                    shared.observer.not_stored(lease, NotStored::LeaseLost);
                    break "stored";
                }
                WriteResult::LeaseLost => {
                    shared.observer.not_stored(lease, NotStored::LeaseLost);
                    break "lease_lost";
                }
                // Without a record the operation would run again, and a store can be full for a
                // long time.
                WriteResult::Failed(StoreErrorKind::Full | StoreErrorKind::ScopeFull)
                    if !matches!(end, SettleAs::Abandon) =>
                {
                    patience = lease.retention;
                }
                WriteResult::Failed(_) => {}
            }
            if shared.running.is_stopping() {
                patience = lease.lease;
            }
            if begun.elapsed() >= patience {
                shared.observer.not_stored(lease, NotStored::GivenUp);
                break if matches!(end, SettleAs::Abandon) { "lapsed" } else { "given_up" };
            }
        };
        telemetry::retried(lease.label.as_ref(), end.word(), ended);
        let key = &lease.key;
        if matches!(end, SettleAs::Abandon) {
            tracing::info!(
                %key, ended,
                "lease of an abandoned attempt ended late: the store had failed, so retries were \
                 rejected until now"
            );
        } else if ended == "stored" {
            tracing::info!(%key, "response stored after retry");
        } else {
            tracing::error!(
                %key, ended,
                "response not stored: a retry of the client may run the operation again; check the \
                 store"
            );
        }
    }
}

impl<St: Store> LiveLease<St> {
    /// Writes the end of the attempt once.
    ///
    /// If the store rejects a response for good, it is written without its body, and then without
    /// its `Location`. A transaction is not written again, because the store has rolled it back.
    async fn write_once(&self, end: &SettleAs) -> WriteResult {
        let Self { shared, config, lease, .. } = self;
        let (key, word) = (&lease.key, end.word());
        self.attempt.begin_settling();
        let mut written = end.write(shared, config, lease).await;
        for smaller in [SettleAs::without_body, SettleAs::without_headers] {
            if let Err(error) = &written
                && error.kind().rejects_response()
                && !self.is_transaction()
                && let Some(less) = smaller(end)
            {
                shared.response_rejected(key, error);
                written = Box::pin(less.write(shared, config, lease)).await;
            }
        }
        match written {
            Ok(Settlement::Applied) => WriteResult::Applied,
            Ok(Settlement::LeaseLost) => {
                if !end.stores_nothing() {
                    tracing::warn!(
                        %key,
                        "lease lost: another attempt has taken over, so the response of this one \
                         is not stored"
                    );
                }
                self.lose_lease();
                WriteResult::LeaseLost
            }
            Err(error) => {
                match error.kind() {
                    StoreErrorKind::TransactionLost => tracing::error!(
                        %key, %error, source = error.source(),
                        "transaction of the attempt lost: its response is not stored, and the \
                         client gets 500; correct the handler"
                    ),
                    StoreErrorKind::Conflict if self.is_transaction() => {
                        tracing::debug!(%key, "attempt rolled back: {error}");
                    }
                    _ => shared.store_failed(word, key, lease.label.as_ref(), &error),
                }
                WriteResult::Failed(error.kind())
            }
        }
    }

    /// Gives the response to the requests that wait for it.
    fn tell(&self, end: SettleAs) {
        if let (Some(member), SettleAs::Complete(outcome, _)) = (&*lock(&self.member), end) {
            let Lease { fingerprint, attempt, token, .. } = self.lease;
            let state = State::Success(outcome);
            member.tell(|| News::Found(Record::new(fingerprint, attempt, token, state)));
        }
    }

    /// The response of another attempt that has taken over and finished, and which one it is.
    async fn overtaken_by(&self) -> Option<Box<(Outcome, Origin)>> {
        let Self { shared, config, lease, .. } = self;
        let began = telemetry::begins();
        let inspected = within(config.store_timeout, shared.store.inspect(&lease.key)).await;
        telemetry::store_took(lease.label.as_ref(), "inspect", began);
        let record = inspected
            .and_then(|found| found.map(|record| config.unpack(&lease.key, record)).transpose())
            .inspect_err(|error| {
                shared.store_failed("inspect", &lease.key, lease.label.as_ref(), error);
            })
            .ok()??;
        match record.state {
            State::Success(outcome)
                if record.fingerprint == lease.fingerprint && outcome.is_replayable() =>
            {
                Some(Box::new((outcome, (record.attempt, record.token))))
            }
            _ => None,
        }
    }
}
