//! Expired records are deleted.

use std::future::Future;
use std::time::Duration;

use super::SqliteStore;
use crate::store::StoreError;

/// How many records go at once: few enough that no other write waits for long.
const BATCH: u32 = 500;

impl SqliteStore {
    /// Deletes expired records, no more than `batch` of them, and returns how many.
    ///
    /// Only the size of the file depends on it, because an expired record counts as absent. The
    /// space of deleted records is used again, and the file does not become smaller.
    ///
    /// # Errors
    ///
    /// As any write.
    pub async fn sweep(&self, batch: u32) -> Result<u64, StoreError> {
        self.send(&self.wait(), sqlx::query(self.statements.sweep.clone()).bind(batch)).await
    }

    /// Sweeps all that has expired, entries of the audit too, in small batches, and again after each `interval`, without an
    /// end. Errors are logged. One process of those that share a file is enough. More do no harm.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn set_up() -> Result<(), tower_idempotency::store::StoreError> {
    /// # use tower_idempotency::SqliteStore;
    /// let store = SqliteStore::open("idempotency.db").await?;
    /// tokio::spawn(store.sweep_every(Duration::from_mins(1)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn sweep_every(&self, interval: Duration) -> impl Future<Output = ()> + Send + 'static {
        let store = self.clone();
        async move {
            loop {
                if let Err(error) = store.sweep_all().await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "expired records not deleted from SQLite: the file grows until a sweep succeeds"
                    );
                }
                tokio::time::sleep(interval.max(Duration::from_millis(1))).await;
            }
        }
    }

    async fn sweep_all(&self) -> Result<(), StoreError> {
        while self.sweep(BATCH).await? == u64::from(BATCH) {
            // Other writers have their turn in between.
            tokio::task::yield_now().await;
        }
        let sweep = || sqlx::query(self.statements.sweep_audit.clone()).bind(BATCH);
        while self.send(&self.wait(), sweep()).await? == u64::from(BATCH) {
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}
