//! The steps of a transaction.

use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use sqlx::{SqlStr, Sqlite};
use tokio::time::Instant;

use super::SqliteTxStore;
use crate::record::key::StorageKey;
use crate::record::outcome::Outcome;
use crate::store::sql::sqlite::error::{is_busy, not_committed, store_error};
use crate::store::sql::sqlite::row;
use crate::store::sql::sqlite::wait::Wait;
use crate::store::sql::sqlite::write::Statement;
use crate::store::sql::tx::{Lost, Open};
use crate::store::{Lease, Record, RecordStatus, Settlement, StoreError, StoreErrorKind};

const BEGIN: SqlStr = SqlStr::from_static("BEGIN IMMEDIATE");

/// It is made after the claim and before the handler runs, and is gone if the handler ends the
/// transaction.
pub(super) const SAVEPOINT: &str = "SAVEPOINT idempotency_attempt";
pub(super) const RELEASE: &str = "RELEASE idempotency_attempt";
pub(super) const ROLLBACK_TO: &str = "ROLLBACK TO idempotency_attempt";

impl SqliteTxStore {
    pub(super) async fn find(
        &self,
        open: &mut Open<Sqlite>,
        key: &StorageKey,
    ) -> Result<Option<Record>, StoreError> {
        let find = sqlx::query(self.store.statements.find.clone()).bind(&key.as_bytes()[..]);
        let found = find.fetch_optional(open.connection_mut()).await.map_err(store_error)?;
        found.as_ref().map(row::record).transpose()
    }

    /// Writes the pending record. Others see it only if the handler commits by itself. It is then
    /// abandoned.
    pub(super) async fn claim(
        &self,
        open: &mut Open<Sqlite>,
        lease: &Lease,
        found: Option<&Record>,
    ) -> Result<(), StoreError> {
        let lease = Lease { lease: Duration::ZERO, ..lease.clone() };
        let write = match found {
            Some(found) => self.store.take_over(found, &lease),
            None => self.store.create(&lease),
        };
        if apply(write, open.connection_mut()).await? {
            return Ok(());
        }
        Err(StoreError::new(StoreErrorKind::Conflict))
    }

    /// Writes the end of the attempt into its record, also if its retention is over. Returns
    /// whether the record belongs to the attempt.
    pub(super) async fn settle(
        &self,
        open: &mut Open<Sqlite>,
        lease: &Lease,
        status: RecordStatus,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        let settle = self.store.settle(status, lease, outcome, retention);
        if apply(settle, open.connection_mut()).await? {
            return Ok(true);
        }
        let write_anew = self.store.write_anew(status, lease, outcome, retention);
        apply(write_anew, open.connection_mut()).await
    }

    /// Rolls back the handler's writes, and writes the record of the attempt.
    pub(super) async fn settle_apart(
        &self,
        open: Open<Sqlite>,
        lease: &Lease,
        status: RecordStatus,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        let mut open = self.still_open(open, lease, ROLLBACK_TO).await?;
        if !self.settle(&mut open, lease, status, outcome, retention).await? {
            return Err(Lost::Ended.into());
        }
        self.commit(open, &self.store.wait()).await?;
        Ok(Settlement::Applied)
    }

    /// Leaves the savepoint that the handler began at.
    ///
    /// # Errors
    ///
    /// If it is gone, the handler has ended the transaction. Its effects are unknown then, and the
    /// attempt is recorded as abandoned.
    pub(super) async fn still_open(
        &self,
        mut open: Open<Sqlite>,
        lease: &Lease,
        savepoint: &'static str,
    ) -> Result<Open<Sqlite>, StoreError> {
        let left = match open.leave_savepoints().await {
            Ok(()) => sqlx::query(savepoint).execute(open.connection_mut()).await.map(drop),
            Err(error) => Err(error),
        };
        match left {
            Ok(()) => Ok(open),
            Err(error) if is_out_of_place(&error) => {
                self.abandon(open, lease).await?;
                Err(Lost::Ended.into())
            }
            Err(error) => Err(store_error(error)),
        }
    }

    async fn abandon(&self, mut open: Open<Sqlite>, lease: &Lease) -> Result<(), StoreError> {
        // The driver counts a transaction that may have ended. If it has not, this changes nothing.
        let _ = sqlx::query("BEGIN").execute(open.connection_mut()).await;
        open = open.rollback().await.map_err(store_error)?;
        let wait = self.store.wait();
        self.begin(&mut open, &wait).await?;
        let found = self.find(&mut open, &lease.key).await?;
        // Otherwise the handler has committed the claim, or another request has come in between.
        if found.as_ref().map(|found| found.token) == lease.replaces {
            self.claim(&mut open, lease, found.as_ref()).await?;
        }
        self.commit(open, &wait).await
    }

    /// Begins the transaction when no other process writes.
    pub(super) async fn begin(
        &self,
        open: &mut Open<Sqlite>,
        wait: &Wait,
    ) -> Result<(), StoreError> {
        while let Err(error) = open.begin_again(BEGIN).await.map_err(store_error) {
            if is_busy(&error) {
                // Nothing was begun: if the wait is cut off, the connection is whole.
                open.ended();
            }
            wait.pause(error).await?;
        }
        self.store.streak.taken(Instant::now());
        Ok(())
    }

    /// Commits the transaction. A `COMMIT` that got BUSY leaves it open. Without WAL mode, it waits
    /// for readers.
    pub(super) async fn commit(
        &self,
        mut open: Open<Sqlite>,
        wait: &Wait,
    ) -> Result<(), StoreError> {
        while let Err(error) = open.commit().await.map_err(not_committed) {
            wait.pause(error).await?;
        }
        self.store.streak.freed();
        Ok(())
    }
}

async fn apply(
    write: Statement<'_>,
    connection: &mut SqliteConnection,
) -> Result<bool, StoreError> {
    Ok(write.execute(connection).await.map_err(store_error)?.rows_affected() > 0)
}

/// There is no such transaction or savepoint. SQLite says `SQLITE_ERROR` then.
fn is_out_of_place(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some("1")
}
