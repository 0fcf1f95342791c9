//! Records whose retention is over are deleted.

use std::future::Future;
use std::time::Duration;

use ::sqlx::Row as _;
use tokio::time::{sleep, timeout};

use super::PostgresStore;
use super::error::store_error;
use super::statement::Value;
use crate::store::{StoreError, StoreErrorKind};

/// How many records [`PostgresStore::sweep_every`] deletes at a time: few enough that nobody waits for them.
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
    /// Deletes expired records, at most `batch` of them, and returns how many there were. A record that is not expired
    /// is never deleted, nor waited for. Any number of processes may sweep at once: each takes others.
    ///
    /// Nothing depends on it but the size of the table: an expired record is as if it were not there.
    ///
    /// # Errors
    ///
    /// As for every operation of the store; what was deleted before is gone, and the rest is left for the next time.
    pub async fn sweep(&self, batch: u32) -> Result<u64, StoreError> {
        Ok(self.sweep_after(batch, None).await?.number)
    }

    async fn sweep_after(&self, batch: u32, last: Option<i64>) -> Result<Swept, StoreError> {
        let values = [Value::Number(Some(batch.into())), Value::Number(last)];
        let row = self.ask(&self.statements.sweep, &values).await?;
        let row = row.ok_or_else(|| StoreError::new(StoreErrorKind::Corrupt))?;
        let number: i64 = row.try_get("swept").map_err(store_error)?;
        let last = row.try_get("last").map_err(store_error)?;
        Ok(Swept { number: number.unsigned_abs(), last })
    }

    /// Sweeps now and then every `interval`, in small batches, until the pool is closed. It is a future to be spawned,
    /// in as many processes as there are; one that fails is logged, and goes on the next time.
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
                Ok(_) => return,
                Err(error) => {
                    let source = std::error::Error::source(&error);
                    tracing::warn!(%error, source, "expired records could not be deleted from PostgreSQL");
                    return;
                }
            }
        }
    }
}
