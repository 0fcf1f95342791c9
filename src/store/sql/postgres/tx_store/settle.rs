//! How a transaction ends, and what is stored about its attempt.

use std::time::Duration;

use ::sqlx::postgres::PgRow;
use ::sqlx::{Postgres, Row as _};

use super::PostgresTxStore;
use super::claim::{locks, mark};
use crate::record::outcome::Outcome;
use crate::store::sql::pooled::cancelling;
use crate::store::sql::postgres::error::{
    is_aborted, is_conflict, is_failed_before, is_reply, not_ended, not_written, store_error,
};
use crate::store::sql::postgres::settle::ended;
use crate::store::sql::postgres::statement::{Statement, Value};
use crate::store::sql::table::{LabelColumns, ResponseColumns};
use crate::store::sql::tx::{Lost, Open};
use crate::store::{Lease, RecordStatus, StoreError, StoreErrorKind};

/// How many errors of the handler's own statements are read before its transaction is given up.
const ERRORS: usize = 8;

impl PostgresTxStore {
    /// Rolls back, and writes the record of the attempt. Returns whether that was possible.
    pub(super) async fn settle_apart(
        &self,
        open: Open<Postgres>,
        lease: &Lease,
        status: RecordStatus,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        let open = self.still_open(open, lease).await?;
        self.write_apart(open, lease, status, outcome, retention).await
    }

    async fn write_apart(
        &self,
        open: Open<Postgres>,
        lease: &Lease,
        status: RecordStatus,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        let mut open = open.rollback().await.map_err(not_ended)?;
        open.begun();
        let locks = locks(&lease.key, lease.fingerprint);
        let settle_apart = &self.store.statements.settle_apart;
        let written =
            write(settle_apart, &mut open, lease, status, outcome, retention, &locks).await;
        let written = written.map_err(not_ended)?;
        open.ended();
        Ok(written.is_some())
    }

    /// Rolls back. The number of an attempt after the first goes on in the record that it would
    /// have taken over.
    pub(super) async fn undo(&self, open: Open<Postgres>, lease: &Lease) -> Result<(), StoreError> {
        let mut open = open.rollback().await.map_err(not_ended)?;
        let Some(replaces) = &lease.replaces else { return Ok(()) };
        open.begun();
        let values = [
            Value::key(&lease.key),
            Value::token(replaces),
            Value::Number(Some(lease.attempt.into())),
        ];
        let counted = self.store.statements.count.run(open.connection_mut(), &values).await;
        match counted {
            Ok(_) => {}
            // Another attempt has taken over the record meanwhile, and has the number.
            Err(error) if is_conflict(&error) => {}
            Err(error) => return Err(not_ended(error)),
        }
        open.ended();
        Ok(())
    }

    /// # Errors
    ///
    /// If the handler has ended the transaction. Its effects are unknown then, and the attempt is
    /// recorded as abandoned.
    pub(super) async fn still_open(
        &self,
        mut open: Open<Postgres>,
        lease: &Lease,
    ) -> Result<Open<Postgres>, StoreError> {
        let cancel = open.cancel_of_handler();
        match cancelling(cancel.as_ref(), self.mark_past_errors(&mut open)).await {
            Ok(Some(row)) if row.try_get("mark").ok() == Some(open.mark.began) => Ok(open),
            Ok(_) => Err(self.was_ended(open, lease).await?),
            // A transaction that a failed statement has aborted is still the same.
            Err(error) if is_aborted(&error) => Ok(open),
            Err(error) => Err(not_ended(error)),
        }
    }

    /// Tells why the response was not written, and rolls back.
    pub(super) async fn unwritten(
        &self,
        mut open: Open<Postgres>,
        lease: &Lease,
    ) -> Result<StoreError, StoreError> {
        let whose = self.store.statements.whose.run(open.connection_mut(), &[]).await;
        let row = whose.map_err(not_written)?;
        let found = row.as_ref().map(mark).transpose().map_err(store_error)?.unwrap_or_default();
        if found.began != open.mark.began {
            return self.was_ended(open, lease).await;
        }
        let is_moved = found.records != open.mark.records;
        // The key is not free in this process before it is in the database.
        open.cancel(None).await;
        Ok(if is_moved { Lost::Moved.into() } else { StoreError::new(StoreErrorKind::Conflict) })
    }

    /// Records an attempt whose handler has ended its transaction.
    async fn was_ended(
        &self,
        open: Open<Postgres>,
        lease: &Lease,
    ) -> Result<StoreError, StoreError> {
        self.write_apart(open, lease, RecordStatus::Pending, None, lease.retention).await?;
        Ok(Lost::Ended.into())
    }

    /// Reads the mark, past the errors of statements that the handler has not waited for.
    async fn mark_past_errors(
        &self,
        open: &mut Open<Postgres>,
    ) -> Result<Option<PgRow>, ::sqlx::Error> {
        let mut errors = 0;
        loop {
            match self.store.statements.mark.run(open.connection_mut(), &[]).await {
                Err(error) if errors < ERRORS && is_reply(&error) && !is_failed_before(&error) => {
                    errors += 1;
                }
                marked => return marked,
            }
        }
    }
}

/// Runs a statement that writes how an attempt has ended.
pub(super) async fn write(
    statement: &Statement,
    open: &mut Open<Postgres>,
    lease: &Lease,
    status: RecordStatus,
    outcome: Option<&Outcome>,
    retention: Duration,
    last: &[i64],
) -> Result<Option<PgRow>, ::sqlx::Error> {
    let fingerprint = lease.fingerprint.to_bytes();
    let (status, label) = (status.to_string(), LabelColumns::of(lease));
    let response = outcome.map(ResponseColumns::of);
    let mut values = ended(lease, &status, retention, response.as_ref());
    values.extend([
        Value::Bytes(Some(&fingerprint)),
        Value::Number(Some(lease.attempt.into())),
        Value::Bytes(lease.replaces.as_ref().map(|token| &token.as_bytes()[..])),
    ]);
    values.extend(last.iter().map(|number| Value::Number(Some(*number))));
    values.extend(Value::label(&label));
    statement.run(open.connection_mut(), &values).await
}
