//! How a transaction ends, and what is remembered of its attempt.

use std::time::Duration;

use ::sqlx::postgres::PgRow;
use ::sqlx::{Postgres, Row as _};

use super::super::super::pooled::cancelling;
use super::super::super::table::Answer;
use super::super::super::tx::{Lost, Open};
use super::super::super::{Lease, Status, StoreError};
use super::super::error::{is_aborted, is_conflict, is_reply, not_committed, not_written};
use super::super::settle::ended;
use super::super::statement::{Statement, Value};
use super::PostgresTxStore;
use crate::outcome::Outcome;

/// How many errors of the handler's own statements are read before its transaction is given up.
const ERRORS: usize = 8;

impl PostgresTxStore {
    /// Rolls back, and writes what is to be remembered of the attempt; whether that was possible.
    pub(super) async fn keep(
        &self,
        open: Open<Postgres>,
        lease: &Lease,
        status: Status,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        let open = self.still_open(open, lease).await?;
        self.keep_apart(open, lease, status, outcome, retention).await
    }

    async fn keep_apart(
        &self,
        open: Open<Postgres>,
        lease: &Lease,
        status: Status,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        let mut open = open.rollback().await.map_err(not_committed)?;
        open.begun();
        let locks = self.locks(&lease.key, lease.fingerprint);
        let keep = &self.store.statements.keep;
        let written = write(keep, &mut open, lease, status, outcome, retention, &locks).await;
        let written = written.map_err(not_written)?;
        open.ended();
        Ok(written.is_some())
    }

    /// Rolls back. The number of an attempt after the first goes on in the record that it would
    /// have taken over.
    pub(super) async fn undo(&self, open: Open<Postgres>, lease: &Lease) -> Result<(), StoreError> {
        let mut open = open.rollback().await.map_err(not_committed)?;
        let Some(replaces) = &lease.replaces else { return Ok(()) };
        open.begun();
        let values =
            [Value::key(&lease.key), Value::token(replaces), Value::Number(Some(lease.attempt.into()))];
        let counted = self.store.statements.count.run(open.connection_mut(), &values).await;
        match counted {
            Ok(_) => {}
            // Another attempt has taken the record over meanwhile, and has the number.
            Err(error) if is_conflict(&error) => {}
            Err(error) => return Err(not_written(error)),
        }
        open.ended();
        Ok(())
    }

    /// # Errors
    ///
    /// If the handler has ended the transaction. Nobody can tell its effects then, and the attempt is remembered as
    /// abandoned.
    pub(super) async fn still_open(
        &self,
        mut open: Open<Postgres>,
        lease: &Lease,
    ) -> Result<Open<Postgres>, StoreError> {
        let cancel = open.cancel_of_handler();
        match cancelling(cancel.as_ref(), self.look_past(&mut open, lease)).await {
            Ok(Some(row)) if row.try_get("mark").ok() == Some(open.mark) => Ok(open),
            Ok(_) => {
                self.keep_apart(open, lease, Status::Pending, None, lease.retention).await?;
                Err(Lost::Ended.into())
            }
            // One that a failed statement has aborted answers nothing, and is still the same.
            Err(error) if is_aborted(&error) => Ok(open),
            Err(error) => Err(not_committed(error)),
        }
    }
}

impl PostgresTxStore {
    /// Looks at the claim, past the errors of statements that the handler has not waited for.
    async fn look_past(
        &self,
        open: &mut Open<Postgres>,
        lease: &Lease,
    ) -> Result<Option<PgRow>, ::sqlx::Error> {
        let mut errors = 0;
        loop {
            match self.look(open, &lease.key, lease.fingerprint).await {
                Err(error) if errors < ERRORS && is_reply(&error) && !is_aborted(&error) => errors += 1,
                looked => return looked,
            }
        }
    }
}

/// Runs a statement that writes how an attempt has ended.
pub(super) async fn write(
    statement: &Statement,
    open: &mut Open<Postgres>,
    lease: &Lease,
    status: Status,
    outcome: Option<&Outcome>,
    retention: Duration,
    last: &[i64],
) -> Result<Option<PgRow>, ::sqlx::Error> {
    let fingerprint = lease.fingerprint.to_bytes();
    let status = status.to_string();
    let response = outcome.map(Answer::of);
    let mut values = ended(lease, &status, retention, response.as_ref());
    values.extend([
        Value::Bytes(Some(&fingerprint)),
        Value::Number(Some(lease.attempt.into())),
        Value::Bytes(lease.replaces.as_ref().map(|token| &token.as_bytes()[..])),
    ]);
    values.extend(last.iter().map(|number| Value::Number(Some(*number))));
    statement.run(open.connection_mut(), &values).await
}
