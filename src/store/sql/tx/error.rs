//! Errors of the database, as handlers meet them.

use std::fmt;

use crate::store::sql::error::SqlError;
use crate::store::{StoreError, StoreErrorKind};

/// An error of the database, as the response of a handler: a [`Conflict`](crate::store::Conflict)
/// if it is one, else 500. The client does not learn the cause.
///
/// It shows, and logs, the code of the error, the constraint and the table. The text of the
/// database can quote what a client has sent. [`get_ref`](Self::get_ref) has it, and no source of
/// this error does.
///
/// ```
/// use sqlx::Postgres;
/// use tower_idempotency::Tx;
/// use tower_idempotency::store::TxError;
///
/// async fn order(mut tx: Tx<Postgres>) -> Result<&'static str, TxError> {
///     sqlx::query("INSERT INTO orders DEFAULT VALUES").execute(&mut *tx).await?;
///     Ok("ordered")
/// }
/// ```
#[derive(Debug)]
pub struct TxError(SqlError);

impl TxError {
    /// The error of the database, whose text can quote a value.
    pub fn get_ref(&self) -> &sqlx::Error {
        &self.0.0
    }
}

impl From<sqlx::Error> for TxError {
    fn from(error: sqlx::Error) -> Self {
        Self(SqlError(error))
    }
}

impl fmt::Display for TxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a statement in the transaction of the attempt failed: {}", self.0)
    }
}

impl std::error::Error for TxError {}

/// The database rejected the transaction of the handler, which was rolled back.
pub(in crate::store::sql) fn lost(why: &'static str, source: sqlx::Error) -> StoreError {
    StoreError::with_source(StoreErrorKind::TransactionLost, SqlError(source)).detail(why)
}
