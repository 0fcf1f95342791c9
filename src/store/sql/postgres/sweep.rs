//! Deletes records whose retention is over.

use std::future::Future;
use std::time::Duration;

use ::sqlx::Row as _;
use tokio::time::{sleep, timeout};

use super::PostgresStore;
use super::error::store_error;
use super::statement::Value;
use crate::store::{StoreError, StoreErrorKind};

/// How many records [`PostgresStore::sweep_every`] deletes at a time: few enough that no request
/// waits for them.
const BATCH: u32 = 500;
/// How long one batch may take before its connection is given up.
const BOUND: Duration = Duration::from_mins(1);
/// The shortest pause between two rounds.
const SHORTEST: Duration = Duration::from_millis(10);

/// One batch.
struct Swept {
    number: u64,
    /// The youngest `expires_at` among them, in microseconds.
    last: Option<i64>,
}

impl PostgresStore {
    /// Deletes expired records, at most `batch` of them, and returns how many there were. A record
    /// that is not expired is never deleted, nor waited for. Any number of processes may sweep at
    /// once: each takes others.
    ///
    /// Only the size of the table depends on it, because an expired record counts as absent.
    ///
    /// # Errors
    ///
    /// As for every operation of the store. The records that were deleted before are gone, and the
    /// next call deletes the rest.
    pub async fn sweep(&self, batch: u32) -> Result<u64, StoreError> {
        Ok(self.sweep_after(batch, None).await?.number)
    }

    /// Deletes the audit entries whose retention is over, if the role may do so.
    async fn sweep_audit(&self) -> Result<(), StoreError> {
        let row = self.ask(&self.statements.audit_rights, &[]).await?;
        let row = row.ok_or_else(|| StoreError::new(StoreErrorKind::Corrupt))?;
        if !row.try_get("allowed").map_err(store_error)? {
            return Ok(());
        }
        loop {
            let batch = [Value::Number(Some(BATCH.into()))];
            let row = self.ask(&self.statements.sweep_audit, &batch).await?;
            let row = row.ok_or_else(|| StoreError::new(StoreErrorKind::Corrupt))?;
            let swept: i64 = row.try_get("swept").map_err(store_error)?;
            if swept < i64::from(BATCH) {
                return Ok(());
            }
        }
    }

    async fn sweep_after(&self, batch: u32, last: Option<i64>) -> Result<Swept, StoreError> {
        let values = [Value::Number(Some(batch.into())), Value::Number(last)];
        let row = self.ask(&self.statements.sweep, &values).await?;
        let row = row.ok_or_else(|| StoreError::new(StoreErrorKind::Corrupt))?;
        let number: i64 = row.try_get("swept").map_err(store_error)?;
        let last = row.try_get("last").map_err(store_error)?;
        Ok(Swept { number: number.unsigned_abs(), last })
    }

    /// Sweeps now and then every `interval`, in small batches, until the pool is closed. Spawn the
    /// future, in one process or in all. A failed sweep is logged, and the next one goes on.
    /// Expired entries of the audit are deleted too, if the role of the pool has the rights
    /// `SELECT` and `DELETE` on its table.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # fn run(store: tower_idempotency::PostgresStore) {
    /// tokio::spawn(store.sweep_every(Duration::from_mins(5)));
    /// # }
    /// ```
    pub fn sweep_every(&self, interval: Duration) -> impl Future<Output = ()> + Send + use<> {
        let store = self.clone();
        async move {
            while !store.pool.inner.is_closed() {
                store.sweep_all().await;
                sleep(interval.max(SHORTEST)).await;
            }
        }
    }

    async fn sweep_all(&self) {
        let mut last = None;
        loop {
            let swept = match timeout(BOUND, self.sweep_after(BATCH, last)).await {
                Ok(swept) => swept,
                Err(_) => Err(StoreError::new(StoreErrorKind::Timeout)),
            };
            match swept {
                Ok(swept) if swept.number >= BATCH.into() => last = swept.last,
                Ok(_) => break,
                Err(error) => {
                    let source = std::error::Error::source(&error);
                    tracing::warn!(%error, source, "expired records not deleted from PostgreSQL: the table grows until a sweep succeeds");
                    return;
                }
            }
        }
        let swept = timeout(BOUND, self.sweep_audit()).await;
        if let Err(error) = swept.unwrap_or(Err(StoreError::new(StoreErrorKind::Timeout))) {
            let source = std::error::Error::source(&error);
            tracing::warn!(%error, source, "expired audit entries not deleted from PostgreSQL");
        }
    }
}
