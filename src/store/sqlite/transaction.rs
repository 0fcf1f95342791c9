//! Transaction mode: the effects of the handler, its key and its answer are committed together or not at all.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use sqlx::sqlite::SqliteConnection;
use sqlx::{SqlStr, Sqlite};

use super::super::tx::{Claims, Lost, Open, Slot, below_400};
use super::super::{
    ErrorKind, Lease, OpenTransaction, Record, Reservation, Reserve, Settlement, Status, Store, StoreError,
    Token,
};
use super::error::{is_busy, not_committed, store_error};
use super::wait::Wait;
use super::write::{Statement, send};
use super::{SqliteStore, row};
use crate::key::StorageKey;
use crate::outcome::Outcome;

/// Keeps records in a file of SQLite, and runs each attempt in a transaction of the same file: see
/// [`SqliteStore::in_transaction`].
#[derive(Clone)]
pub struct SqliteTxStore {
    store: SqliteStore,
    claims: Claims,
    commits: fn(StatusCode) -> bool,
}

impl SqliteStore {
    /// Turns to transaction mode: each attempt runs in a transaction, in which its handler does its business writes, and
    /// which commits them together with the key and the answer. There is no lease, and nothing to clean up: an attempt
    /// that is cut off was never begun.
    ///
    /// The handler takes the transaction as [`Tx`](crate::Tx); its tables are in the same file. SQLite has one writer at a
    /// time, so attempts run one after another, each from `BEGIN IMMEDIATE` to its commit: handlers should be short, and wait
    /// for nobody else meanwhile. One that has to wait longer for its turn than the pool and `busy_timeout` allow (1.8 s by
    /// default) is refused with 503. See [`guide::exactly_once`](crate::guide::exactly_once).
    ///
    /// ```no_run
    /// use sqlx::Sqlite;
    /// use tower_idempotency::store::TxError;
    /// use tower_idempotency::{IdempotencyLayer, SqliteStore, Tx};
    ///
    /// async fn order(mut tx: Tx<Sqlite>) -> Result<&'static str, TxError> {
    ///     sqlx::query("INSERT INTO orders (item) VALUES ('book')").execute(&mut *tx).await?;
    ///     Ok("ordered")
    /// }
    ///
    /// # async fn set_up() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = SqliteStore::open("shop.db").await?;
    /// let layer = IdempotencyLayer::new(store.in_transaction()).require_key();
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_transaction(self) -> SqliteTxStore {
        SqliteTxStore { store: self, claims: Claims::default(), commits: below_400 }
    }
}

impl SqliteTxStore {
    /// Sets which answers commit what the handler wrote. Default: those below 400. Every other definitive answer is kept
    /// and replayed all the same, but what the handler wrote is rolled back; an answer that is not definitive is never
    /// committed, whatever this says.
    #[must_use]
    pub fn commits(self, commits: fn(StatusCode) -> bool) -> Self {
        Self { commits, ..self }
    }

    /// The store without transactions, on the same table: for the sweeper, say.
    pub fn store(&self) -> &SqliteStore {
        &self.store
    }
}

impl fmt::Debug for SqliteTxStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteTxStore").field("store", &self.store).finish_non_exhaustive()
    }
}

const BEGIN: SqlStr = SqlStr::from_static("BEGIN IMMEDIATE");

/// It stands after the claim and before the handler, and is gone when the handler ends the transaction.
const SAVEPOINT: &str = "SAVEPOINT idempotency_attempt";
const RELEASE: &str = "RELEASE idempotency_attempt";
const ROLLBACK_TO: &str = "ROLLBACK TO idempotency_attempt";

impl Store for SqliteTxStore {
    async fn reserve(&self, request: &Reserve) -> Result<Reservation, StoreError> {
        let (wait, first) = (self.store.wait(), Lease::first(request, Token::random()?));
        let find = || self.store.find(&wait, &request.key);
        let claimed = match self.claims.claim(request, first.token, find).await? {
            Ok(claimed) => claimed,
            Err(found) => return Ok(Reservation::Found(*found)),
        };
        let connection = self.store.turn(&wait).await?;
        let mut open = Open::<Sqlite>::idle(connection, claimed);
        self.begin(&mut open, &wait).await?;
        // Nobody else writes from here on.
        let found = self.standing(&mut open, &request.key).await?;
        let lease = match &found {
            Some(found) if !found.yields_to(request) => {
                open.cancel(Some(found)).await;
                return Ok(Reservation::Found(found.clone()));
            }
            Some(found) => Lease::after(request, first.token, found),
            None => first,
        };
        self.claim(&mut open, &lease, found.as_ref()).await?;
        sqlx::query(SAVEPOINT).execute(open.connection_mut()).await.map_err(store_error)?;
        open.run();
        Ok(Reservation::Acquired(Lease { transaction: Some(OpenTransaction::new(Slot::new(open))), ..lease }))
    }

    async fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        let open = Slot::end(lease)?;
        if !(self.commits)(outcome.status) {
            return self.keep(open, lease, Status::Success, Some(outcome), retention).await;
        }
        let mut open = self.still_open(open.without_savepoint()?, lease, RELEASE).await?;
        let failed = match self.settle(&mut open, lease, Status::Success, Some(outcome), retention).await {
            Ok(true) => None,
            Ok(false) => Some(Lost::Ended.into()),
            Err(error) => Some(error),
        };
        if let Some(error) = failed {
            open.cancel(None).await;
            return Err(error);
        }
        self.commit(open, &self.store.wait()).await?;
        Ok(Settlement::Applied)
    }

    async fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.keep(Slot::end(lease)?, lease, Status::Failed, outcome, retention).await
    }

    async fn release(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        let open = self.still_open(Slot::end(lease)?, lease, ROLLBACK_TO).await?;
        let mut open = open.rollback().await.map_err(store_error)?;
        // The number of an attempt after the first goes on in the record that it would have taken
        // over.
        if let Some(replaces) = &lease.replaces {
            let count = sqlx::query(self.store.statements.count.clone());
            let count = count.bind(&lease.key.as_bytes()[..]).bind(&replaces.as_bytes()[..]);
            send(open.connection_mut(), &self.store.wait(), count.bind(lease.attempt)).await?;
        }
        self.store.streak.freed();
        Ok(Settlement::Applied)
    }

    /// The transaction is all the sign of life that there is.
    async fn renew(&self, _: &Lease) -> Result<Settlement, StoreError> {
        Ok(Settlement::Applied)
    }

    async fn inspect(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        self.store.inspect(key).await
    }

    fn set_timeout(&self, timeout: Duration) {
        self.store.set_timeout(timeout);
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }
}

impl SqliteTxStore {
    async fn standing(
        &self,
        open: &mut Open<Sqlite>,
        key: &StorageKey,
    ) -> Result<Option<Record>, StoreError> {
        let find = sqlx::query(self.store.statements.find.clone()).bind(&key.as_bytes()[..]);
        let found = find.fetch_optional(open.connection_mut()).await.map_err(store_error)?;
        found.as_ref().map(row::record).transpose()
    }

    /// Writes the pending record. It is seen by others only if the handler commits it by itself, and is then abandoned.
    async fn claim(
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
        Err(StoreError::new(ErrorKind::Conflict))
    }

    /// Writes the end of the attempt into its record, also if its retention is over; whether the
    /// record is the attempt's.
    async fn settle(
        &self,
        open: &mut Open<Sqlite>,
        lease: &Lease,
        status: Status,
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

    /// Rolls the handler's writes back, and writes what is to be remembered of the attempt.
    async fn keep(
        &self,
        open: Open<Sqlite>,
        lease: &Lease,
        status: Status,
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
    /// If it is gone: the handler has ended the transaction. Nobody can tell its effects then, and the attempt is
    /// remembered as abandoned.
    async fn still_open(
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
        // The driver counts a transaction that perhaps is none. If it is one, this changes nothing.
        let _ = sqlx::query("BEGIN").execute(open.connection_mut()).await;
        open = open.rollback().await.map_err(store_error)?;
        let wait = self.store.wait();
        self.begin(&mut open, &wait).await?;
        let found = self.standing(&mut open, &lease.key).await?;
        // Otherwise the handler has committed the claim, or somebody else has come in between.
        if found.as_ref().map(|found| found.token) == lease.replaces {
            self.claim(&mut open, lease, found.as_ref()).await?;
        }
        self.commit(open, &wait).await
    }

    /// Begins the transaction when no other process writes.
    async fn begin(&self, open: &mut Open<Sqlite>, wait: &Wait) -> Result<(), StoreError> {
        while let Err(error) = open.begin_again(BEGIN).await.map_err(store_error) {
            if is_busy(&error) {
                // Nothing was begun: if the wait is cut off, the connection is whole.
                open.ended();
            }
            wait.pause(error).await?;
        }
        self.store.streak.taken();
        Ok(())
    }

    /// Commits the transaction. A `COMMIT` that got BUSY leaves it open: without WAL mode, it waits for those who read.
    async fn commit(&self, mut open: Open<Sqlite>, wait: &Wait) -> Result<(), StoreError> {
        while let Err(error) = open.commit().await.map_err(not_committed) {
            wait.pause(error).await?;
        }
        self.store.streak.freed();
        Ok(())
    }
}

async fn apply(write: Statement<'_>, connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    Ok(write.execute(connection).await.map_err(store_error)?.rows_affected() > 0)
}

/// There is no such transaction or savepoint: `SQLITE_ERROR` is all that SQLite says to that.
fn is_out_of_place(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some("1")
}
