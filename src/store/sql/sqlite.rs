//! The embedded store: a file of SQLite, which survives a restart and may be shared by the
//! processes of one machine.
//!
//! A first execution takes two writes, one to reserve the key and one to complete the record. Each
//! is on the disk when it is acknowledged. A replay, a mismatch and a rejection write nothing, and
//! wait for no writer.
//!
//! SQLite has one writer at a time, so the writes of all keys queue. The disk limits how many there
//! are in a second. Each operation is one statement, so one that is cut off leaves no transaction
//! behind.
//!
#![doc = include_str!("sqlite/processes.md")]
//!
//! # Times and records
//!
//! Times come from the machine's clock, in UTC and in milliseconds. A step forward beyond a
//! lease is caught by the wait for a missed renewal; retentions end early by as much. After a step
//! back, crashes are noticed later, and records stay longer.
//!
//! To look at a record by hand, find it by the digits of the digest that the logs show:
//!
//! ```text
//! sqlite3 idempotency.db "SELECT hex(key), status, attempt, lease_until, expires_at, response_status
//!                         FROM idempotency_records WHERE hex(key) LIKE '3FC82EC1%'"
//! ```
//!
//! A pending record whose `lease_until` has passed is abandoned. The table, with a row for each
//! record:
//!
//! ```sql
#![doc = include_str!("sqlite/layout.sql")]
//! ```
//!
//! Headers and trailers are the bytes of lines `name: value`, which
//! `CAST(response_headers AS TEXT)` shows. An expired record is deleted when the key comes again, or
//! by [`sweep_every`](SqliteStore::sweep_every).
//!
//! A table of layout 2 gets the columns that it lacks when the file is opened. They come after the
//! body there, so a list also reads the pages of large bodies.
//!
//! Layout 1 stored headers as text. No release of this crate has made it: drop such a table, or use
//! another one.
//!
#![doc = include_str!("sqlite/operators.md")]

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Sqlite;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqlitePool, SqliteRow};

use crate::record::key::StorageKey;
use crate::record::outcome::Outcome;
use crate::store::operator::{
    Cursor, Intervened, Intervention, ListPage, ListRequest, Shown, StatsPage,
};
use crate::store::timeout::Timeout;
use crate::store::undo::{Undo, Unreplied};
use crate::store::{
    CheckItem, Lease, Record, RecordStatus, Reservation, ReserveRequest, Settlement, State, Store,
    StoreError, Token,
};

mod check;
mod error;
mod file;
mod layout;
mod open;
mod operator;
mod row;
mod statements;
mod streak;
mod sweep;
mod tx_store;
mod wait;
mod write;

use error::{code_of, is_busy};
use row::{from_now, lapse_of};
use statements::Statements;
use streak::Streak;
pub use tx_store::SqliteTxStore;
use wait::Wait;
use write::{Statement, ask, ended, fenced, send};

/// Stores records in a file of SQLite. A clone is the same store.
///
/// ```no_run
/// use tower_idempotency::{IdempotencyLayer, SqliteStore};
///
/// # async fn set_up() -> Result<(), tower_idempotency::store::StoreError> {
/// let layer = IdempotencyLayer::new(SqliteStore::open("idempotency.db").await?).namespace("payments");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteStore {
    reading: SqlitePool,
    /// One connection, where the store has made it.
    writing: SqlitePool,
    statements: Arc<Statements>,
    unreplied: Arc<Unreplied>,
    timeout: Timeout,
    streak: Arc<Streak>,
    has_operator_index: bool,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

impl Store for SqliteStore {
    async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        let wait = self.wait();
        // A replay writes nothing, and waits for no writer.
        let found = match self.find(&wait, &request.key).await? {
            Some(found) if !found.yields_to(request) => return Ok(Reservation::Found(found)),
            found => found,
        };
        let first = Lease::first(request, Token::random()?);
        let mut undo = Undo::of(self, &self.unreplied, &first);
        let reply = self.acquire(&wait, request, first.clone(), found, &mut undo).await;
        undo.replied(&reply);
        reply
    }

    async fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.end(RecordStatus::Success, lease, Some(outcome), retention).await
    }

    async fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.end(RecordStatus::Failed, lease, outcome, retention).await
    }

    async fn release(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        let Some(before) = lease.put_back() else {
            return self.settlement(fenced(&self.statements.release, lease)).await;
        };
        let outcome = match &before.state {
            State::Failed(outcome) => outcome.as_ref(),
            State::Pending { .. } | State::Success(_) => None,
        };
        let put_back =
            ended(&self.statements.put_back, before.status(), lease, outcome, lease.retention);
        self.settlement(put_back.bind(before.attempt).bind(&before.token.as_bytes()[..])).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        let renew = fenced(&self.statements.renew, lease);
        self.settlement(renew.bind(lapse_of(lease)).bind(from_now(lease.retention))).await
    }

    async fn inspect(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        self.find(&self.wait(), key).await
    }

    fn set_timeout(&self, timeout: Duration) {
        self.timeout.raise(timeout);
    }

    // Another process, or a handler of the application, may hold the one right to write for long.
    fn opens_in_outage(&self) -> bool {
        false
    }

    fn limits_scopes(&self) -> bool {
        false
    }

    fn opens_transactions(&self) -> bool {
        false
    }

    async fn check(&self) -> Result<Vec<CheckItem>, StoreError> {
        self.look_around().await
    }

    async fn list(&self, request: &ListRequest) -> Result<ListPage, StoreError> {
        self.listed(request).await
    }

    async fn show(&self, key: &StorageKey) -> Result<Shown, StoreError> {
        self.shown(key).await
    }

    async fn intervene(&self, intervention: &Intervention) -> Result<Intervened, StoreError> {
        self.intervened(intervention).await
    }

    async fn stats(&self, _: Option<&Cursor>) -> Result<StatsPage, StoreError> {
        self.counted().await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read(&self.wait(), sqlx::query(self.statements.ping.clone())).await.map(drop)
    }
}

impl SqliteStore {
    /// The wait of one operation begins.
    fn wait(&self) -> Wait {
        Wait::within(&self.timeout)
    }

    /// Reads the record, which waits for no writer.
    async fn find(&self, wait: &Wait, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        let find = sqlx::query(self.statements.find.clone()).bind(&key.as_bytes()[..]);
        self.read(wait, find).await?.as_ref().map(row::record).transpose()
    }

    /// Creates the record, or takes over the one that was found. If another caller came first,
    /// returns its record.
    async fn acquire(
        &self,
        wait: &Wait,
        request: &ReserveRequest,
        first: Lease,
        mut found: Option<Record>,
        undo: &mut Undo<'_, Self>,
    ) -> Result<Reservation, StoreError> {
        loop {
            let (lease, is_acquired) = match found {
                Some(old) if !old.yields_to(request) => return Ok(Reservation::Found(old)),
                Some(old) => {
                    let next = Lease::after(request, first.token, &old);
                    undo.sends(&next);
                    let is_acquired = self.write(wait, self.take_over(&old, &next)).await?;
                    (next, is_acquired)
                }
                None => {
                    undo.sends(&first);
                    (first.clone(), self.write(wait, self.create(&first)).await?)
                }
            };
            if is_acquired {
                return Ok(Reservation::Acquired(lease));
            }
            found = self.find(wait, &request.key).await?;
        }
    }

    /// Ends the attempt and stores its response. If the record is gone, it is written anew.
    async fn end(
        &self,
        status: RecordStatus,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        let wait = self.wait();
        if self.write(&wait, self.settle(status, lease, outcome, retention)).await? {
            return Ok(Settlement::Applied);
        }
        let settled = fenced(&self.statements.settled, lease).bind(status.to_string());
        if self.read(&wait, settled).await?.is_some() {
            return Ok(Settlement::Applied);
        }
        let write_anew = self.write_anew(status, lease, outcome, retention);
        Ok(settlement(self.write(&wait, write_anew).await?))
    }

    async fn settlement(&self, write: Statement<'_>) -> Result<Settlement, StoreError> {
        Ok(settlement(self.write(&self.wait(), write).await?))
    }

    /// Runs a statement that writes, to its end: with the statement ends the transaction that it
    /// is. Tells whether it changed a record.
    async fn write(&self, wait: &Wait, write: Statement<'_>) -> Result<bool, StoreError> {
        Ok(self.send(wait, write).await? > 0)
    }

    async fn send(&self, wait: &Wait, write: Statement<'_>) -> Result<u64, StoreError> {
        let mut connection = self.turn(wait).await?;
        let sent = send(&mut connection, wait, &self.streak, write).await;
        sent.map_err(|error| self.named(error))
    }

    /// Takes the connection that writes. Other processes have had their turn.
    async fn turn(&self, wait: &Wait) -> Result<PoolConnection<Sqlite>, StoreError> {
        let connection = wait.connection(&self.writing).await;
        let connection = connection.map_err(|error| self.named(error))?;
        self.streak.leave_gap().await;
        Ok(connection)
    }

    async fn read(
        &self,
        wait: &Wait,
        read: Statement<'_>,
    ) -> Result<Option<SqliteRow>, StoreError> {
        let asked = async { ask(&mut *wait.connection(&self.reading).await?, wait, read).await };
        asked.await.map_err(|error| self.named(error))
    }

    /// The same error with the path of the file, if it is about the file.
    fn named(&self, error: StoreError) -> StoreError {
        let options = self.writing.connect_options();
        let file = options.get_filename().display().to_string();
        let is_of_file = code_of(&error).is_some() && !is_busy(&error);
        if is_of_file && !error.to_string().contains(&file) {
            return error.at(format_args!("the file {file}"));
        }
        error
    }
}

fn settlement(applied: bool) -> Settlement {
    if applied { Settlement::Applied } else { Settlement::LeaseLost }
}
