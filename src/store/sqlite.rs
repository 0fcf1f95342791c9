//! The embedded store: a file of SQLite, which survives a restart and may be shared by the processes of one machine.
//!
//! A first execution takes two writes, one to reserve the key and one to complete the record, each of which is on the
//! disk when it is acknowledged. A replay, a mismatch and a refusal write nothing, and wait for nobody who does.
//!
//! SQLite has one writer at a time, so the writes of all keys queue; how many there are in a second is for the disk to
//! say. Each operation is one statement, so that one which is cut off leaves no transaction behind.
//!
//! Times are those of the machine's clock, in UTC and in milliseconds. A clock that is set forward ends leases and
//! retentions early, by as much; one that is set back, late.
//!
//! To look at a record by hand, find it by the digits of the digest that the logs show:
//!
//! ```text
//! sqlite3 idempotency.db "SELECT hex(key), status, attempt, lease_until, expires_at, response_status
//!                         FROM idempotency_records WHERE hex(key) LIKE '3FC82EC1%'"
//! ```
//!
//! A pending one whose `lease_until` has passed is abandoned. The table, a row for each record:
//!
//! ```sql
#![doc = include_str!("sqlite/layout.sql")]
//! ```
//!
//! Headers and trailers are the bytes of lines `name: value`, which `CAST(response_headers AS TEXT)` shows. What expires goes
//! when the key comes again, or by [`sweep_every`](SqliteStore::sweep_every).
//!
//! Layout 1 stored headers as text. No release of this crate has made it: drop such a table, or use another one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqlitePool};
use sqlx::{SqlStr, Sqlite};

use super::table::Answer;
use super::undo::{Unanswered, Undo};
use super::{Lease, Record, Reservation, Reserve, Settlement, State, Status, Store, StoreError, Token};
use crate::key::StorageKey;
use crate::outcome::Outcome;

mod error;
mod layout;
mod open;
mod row;
mod statements;
mod sweep;
mod transaction;

use error::store_error;
use row::from_now;
use statements::Statements;
pub use transaction::SqliteTxStore;

/// Keeps records in a file of SQLite. A clone is the same store.
///
/// ```no_run
/// use tower_idempotency::{IdempotencyLayer, SqliteStore};
///
/// # async fn set_up() -> Result<(), tower_idempotency::StoreError> {
/// let layer = IdempotencyLayer::new(SqliteStore::open("idempotency.db").await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteStore {
    reading: SqlitePool,
    /// One connection, where the store has made it.
    writing: SqlitePool,
    statements: Arc<Statements>,
    unanswered: Arc<Unanswered>,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

impl Store for SqliteStore {
    async fn reserve(&self, request: &Reserve) -> Result<Reservation, StoreError> {
        // A replay writes nothing, and does not wait for those who do.
        let found = match self.find(&request.key).await? {
            Some(found) if !found.yields_to(request) => return Ok(Reservation::Found(found)),
            found => found,
        };
        let first = Lease::first(request, Token::random()?);
        let mut undo = Undo::of(self.clone(), &self.unanswered, &first);
        let answer = self.acquire(request, first, found, &mut undo).await;
        undo.answered(&answer);
        answer
    }

    async fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.end(Status::Success, lease, Some(outcome), retention).await
    }

    async fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.end(Status::Failed, lease, outcome, retention).await
    }

    async fn release(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        let Some(before) = lease.put_back() else {
            return Ok(settlement(self.applies(fenced(&self.statements.release, lease)).await?));
        };
        let outcome = match &before.state {
            State::Failed(outcome) => outcome.as_ref(),
            State::Pending { .. } | State::Success(_) => None,
        };
        let put_back = ended(&self.statements.put_back, before.status(), lease, outcome, lease.retention);
        let put_back = put_back.bind(before.attempt).bind(&before.token.as_bytes()[..]);
        Ok(settlement(self.applies(put_back).await?))
    }

    async fn renew(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        let renew = fenced(&self.statements.renew, lease);
        let renew = renew.bind(from_now(lease.lease)).bind(from_now(lease.retention));
        Ok(settlement(self.applies(renew).await?))
    }

    async fn inspect(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        self.find(key).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let ping = sqlx::query(self.statements.ping.clone()).fetch_one(&self.reading).await;
        ping.map(drop).map_err(store_error)
    }
}

impl SqliteStore {
    /// Reads the record, which waits for no writer.
    async fn find(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        let find = sqlx::query(self.statements.find.clone()).bind(&key.as_bytes()[..]);
        let found = find.fetch_optional(&self.reading).await.map_err(store_error)?;
        found.as_ref().map(row::record).transpose()
    }

    /// Creates the record, or takes over the one that was found; tells what stands there by then if somebody else came
    /// first.
    async fn acquire(
        &self,
        request: &Reserve,
        first: Lease,
        mut found: Option<Record>,
        undo: &mut Undo<Self>,
    ) -> Result<Reservation, StoreError> {
        loop {
            let (lease, is_acquired) = match found {
                Some(old) if !old.yields_to(request) => return Ok(Reservation::Found(old)),
                Some(old) => {
                    let next = Lease::after(request, first.token, &old);
                    undo.sends(&next);
                    let is_acquired = self.applies(self.take_over(&old, &next)).await?;
                    (next, is_acquired)
                }
                None => {
                    undo.sends(&first);
                    (first.clone(), self.applies(self.create(&first)).await?)
                }
            };
            if is_acquired {
                return Ok(Reservation::Acquired(lease));
            }
            found = self.find(&request.key).await?;
        }
    }

    /// Ends the attempt and stores its response. If the record is gone, it is written anew.
    async fn end(
        &self,
        status: Status,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        if self.applies(self.settle(status, lease, outcome, retention)).await? {
            return Ok(Settlement::Applied);
        }
        let settled = sqlx::query_scalar(self.statements.settled.clone())
            .bind(&lease.key.as_bytes()[..])
            .bind(&lease.token.as_bytes()[..])
            .bind(status.to_string());
        if settled.fetch_one(&self.reading).await.map_err(store_error)? {
            return Ok(Settlement::Applied);
        }
        let write_anew = self.write_anew(status, lease, outcome, retention);
        Ok(settlement(self.applies(write_anew).await?))
    }

    /// Makes the record of a first attempt.
    fn create<'a>(&self, first: &'a Lease) -> Write<'a> {
        fenced(&self.statements.reserve, first)
            .bind(first.fingerprint.to_bytes().to_vec())
            .bind(from_now(first.lease))
            .bind(from_now(first.retention))
    }

    /// Puts the record of the next attempt in the place of the old one.
    fn take_over<'a>(&self, old: &'a Record, next: &'a Lease) -> Write<'a> {
        sqlx::query(self.statements.take_over.clone())
            .bind(&next.key.as_bytes()[..])
            .bind(&old.token.as_bytes()[..])
            .bind(old.status().to_string())
            .bind(next.attempt)
            .bind(&next.token.as_bytes()[..])
            .bind(from_now(next.lease))
            .bind(from_now(next.retention))
            .bind(old.attempt)
    }

    /// Writes the end of an attempt into its record.
    fn settle<'a>(
        &self,
        status: Status,
        lease: &'a Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Write<'a> {
        ended(&self.statements.settle, status, lease, outcome, retention)
    }

    /// Writes the end of an attempt whose record is gone.
    fn write_anew<'a>(
        &self,
        status: Status,
        lease: &'a Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Write<'a> {
        ended(&self.statements.write_anew, status, lease, outcome, retention)
            .bind(lease.fingerprint.to_bytes().to_vec())
            .bind(lease.attempt)
    }

    /// Runs a statement that writes one record or none, to its end: with the statement ends the transaction that it is.
    async fn applies(&self, write: Write<'_>) -> Result<bool, StoreError> {
        let written = write.execute(&self.writing).await.map_err(store_error)?;
        Ok(written.rows_affected() > 0)
    }
}

type Write<'a> = Query<'a, Sqlite, SqliteArguments>;

/// A statement whose first arguments are the key and the token of a lease.
fn fenced<'a>(statement: &SqlStr, lease: &'a Lease) -> Write<'a> {
    sqlx::query(statement.clone()).bind(&lease.key.as_bytes()[..]).bind(&lease.token.as_bytes()[..])
}

/// A statement whose first ten arguments tell how an attempt has ended.
fn ended<'a>(
    statement: &SqlStr,
    status: Status,
    lease: &'a Lease,
    outcome: Option<&Outcome>,
    retention: Duration,
) -> Write<'a> {
    let response = outcome.map(Answer::of);
    let response_status = response.as_ref().map(|response| response.status);
    let headers = response.as_ref().map(|response| response.headers.clone());
    let Answer { trailers, request_id, body, missing, .. } = response.unwrap_or_default();
    fenced(statement, lease)
        .bind(status.to_string())
        .bind(from_now(retention))
        .bind(response_status)
        .bind(headers.as_deref())
        .bind(trailers.as_deref())
        .bind(request_id)
        .bind(missing)
        .bind(body.as_deref())
}

fn settlement(applied: bool) -> Settlement {
    if applied { Settlement::Applied } else { Settlement::LeaseLost }
}
