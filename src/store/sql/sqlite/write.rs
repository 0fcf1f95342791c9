//! The statements that write a record, and how statements are sent.

use std::time::Duration;

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Execute as _, SqlStr, Sqlite};
use tokio::time::Instant;

use super::SqliteStore;
use super::error::store_error;
use super::row::from_now;
use super::streak::Streak;
use super::wait::Wait;
use crate::record::outcome::Outcome;
use crate::store::sql::table::{LabelColumns, ResponseColumns};
use crate::store::{Lease, Record, RecordStatus, StoreError};

/// A statement with its values.
pub(super) type Statement<'a> = Query<'a, Sqlite, SqliteArguments>;

/// Sends a statement that writes, again and again while the file is busy. Tells how many rows it
/// changed.
///
/// A statement that got BUSY was not carried out. Outside of a transaction it was rolled back;
/// within one, do not use this: SQLite may have rolled the transaction back.
pub(super) async fn send(
    connection: &mut SqliteConnection,
    wait: &Wait,
    streak: &Streak,
    write: Statement<'_>,
) -> Result<u64, StoreError> {
    let (statement, values) = parts(write)?;
    loop {
        let begun = Instant::now();
        let write =
            sqlx::query_with(statement.clone(), values.clone()).execute(&mut *connection).await;
        match write.map_err(store_error) {
            Ok(written) => {
                streak.taken(begun);
                return Ok(written.rows_affected());
            }
            Err(error) => wait.pause(error).await?,
        }
    }
}

/// Sends a statement that reads one row at most, again and again while the file is busy. A reader
/// does not wait for a writer. It waits while a process recovers or closes the file.
pub(super) async fn ask(
    connection: &mut SqliteConnection,
    wait: &Wait,
    read: Statement<'_>,
) -> Result<Option<SqliteRow>, StoreError> {
    let (statement, values) = parts(read)?;
    loop {
        let read = sqlx::query_with(statement.clone(), values.clone())
            .fetch_optional(&mut *connection)
            .await;
        match read.map_err(store_error) {
            Ok(row) => return Ok(row),
            Err(error) => wait.pause(error).await?,
        }
    }
}

/// Sends a statement that reads any number of rows, as [`ask`] does.
pub(super) async fn ask_all(
    connection: &mut SqliteConnection,
    wait: &Wait,
    read: Statement<'_>,
) -> Result<Vec<SqliteRow>, StoreError> {
    let (statement, values) = parts(read)?;
    loop {
        let read = sqlx::query_with(statement.clone(), values.clone());
        match read.fetch_all(&mut *connection).await.map_err(store_error) {
            Ok(rows) => return Ok(rows),
            Err(error) => wait.pause(error).await?,
        }
    }
}

/// The text of a statement and its values, which are cheap to copy.
fn parts(mut statement: Statement<'_>) -> Result<(SqlStr, SqliteArguments), StoreError> {
    let values =
        statement.take_arguments().map_err(|error| store_error(sqlx::Error::Encode(error)))?;
    Ok((statement.sql(), values.unwrap_or_default()))
}

impl SqliteStore {
    /// Makes the record of a first attempt.
    pub(super) fn create<'a>(&self, first: &'a Lease) -> Statement<'a> {
        let reserve = fenced(&self.statements.reserve, first)
            .bind(first.fingerprint.to_bytes().to_vec())
            .bind(from_now(first.lease))
            .bind(from_now(first.retention));
        bind_label(reserve, first)
    }

    /// Puts the record of the next attempt in the place of the old one.
    pub(super) fn take_over<'a>(&self, old: &'a Record, next: &'a Lease) -> Statement<'a> {
        let take_over = sqlx::query(self.statements.take_over.clone())
            .bind(&next.key.as_bytes()[..])
            .bind(&old.token.as_bytes()[..])
            .bind(old.status().to_string())
            .bind(next.attempt)
            .bind(&next.token.as_bytes()[..])
            .bind(from_now(next.lease))
            .bind(from_now(next.retention))
            .bind(old.attempt);
        bind_label(take_over, next)
    }

    /// Writes the end of an attempt into its record.
    pub(super) fn settle<'a>(
        &self,
        status: RecordStatus,
        lease: &'a Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Statement<'a> {
        ended(&self.statements.settle, status, lease, outcome, retention)
    }

    /// Writes the end of an attempt whose record is gone.
    pub(super) fn write_anew<'a>(
        &self,
        status: RecordStatus,
        lease: &'a Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Statement<'a> {
        let write_anew = ended(&self.statements.write_anew, status, lease, outcome, retention)
            .bind(lease.fingerprint.to_bytes().to_vec())
            .bind(lease.attempt);
        bind_label(write_anew, lease)
    }
}

/// A statement whose first arguments are the key and the token of a lease.
pub(super) fn fenced<'a>(statement: &SqlStr, lease: &'a Lease) -> Statement<'a> {
    sqlx::query(statement.clone()).bind(&lease.key.as_bytes()[..]).bind(&lease.token.as_bytes()[..])
}

/// A statement whose first ten arguments describe the end of an attempt.
pub(super) fn ended<'a>(
    statement: &SqlStr,
    status: RecordStatus,
    lease: &'a Lease,
    outcome: Option<&Outcome>,
    retention: Duration,
) -> Statement<'a> {
    let ended = fenced(statement, lease).bind(status.to_string()).bind(from_now(retention));
    bind_response(ended, outcome)
}

/// The columns of a label follow.
fn bind_label<'a>(statement: Statement<'a>, lease: &'a Lease) -> Statement<'a> {
    let LabelColumns { namespace, route, scope } = LabelColumns::of(lease);
    statement.bind(namespace).bind(route).bind(scope)
}

/// The columns of a response follow.
pub(super) fn bind_response<'a>(
    statement: Statement<'a>,
    outcome: Option<&Outcome>,
) -> Statement<'a> {
    let response = outcome.map(ResponseColumns::of);
    let response_status = response.as_ref().map(|response| response.status);
    let headers = response.as_ref().map(|response| response.headers.clone());
    let ResponseColumns { trailers, request_id, body, missing, .. } = response.unwrap_or_default();
    statement
        .bind(response_status)
        .bind(headers.as_deref())
        .bind(trailers.as_deref())
        .bind(request_id)
        .bind(missing)
        .bind(body.as_deref())
}
