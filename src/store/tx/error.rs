//! Errors of the database, as handlers meet them.

use std::fmt;

use super::super::transaction::Conflict;

impl Conflict {
    /// Whether an error says that another transaction was in the way: a serialization failure (40001) or a deadlock (40P01)
    /// of PostgreSQL, `SQLITE_BUSY` or `SQLITE_BUSY_SNAPSHOT`.
    pub fn of(error: &sqlx::Error) -> Option<Self> {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        matches!(code.as_deref(), Some("40001" | "40P01" | "5" | "517")).then_some(Self)
    }
}

/// An error of the database, as the answer of a handler: a [`Conflict`] if it is one, and else 500. What went wrong goes to the log,
/// not to the client.
///
/// ```
/// use sqlx::Postgres;
/// use tower_idempotency::store::{Tx, TxError};
///
/// async fn order(mut tx: Tx<Postgres>) -> Result<&'static str, TxError> {
///     sqlx::query("INSERT INTO orders DEFAULT VALUES").execute(&mut *tx).await?;
///     Ok("ordered")
/// }
/// ```
#[derive(Debug)]
pub struct TxError(sqlx::Error);

impl TxError {
    /// The error of the database.
    pub fn get_ref(&self) -> &sqlx::Error {
        &self.0
    }
}

impl From<sqlx::Error> for TxError {
    fn from(error: sqlx::Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for TxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a statement in the transaction of the attempt failed")
    }
}

impl std::error::Error for TxError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}
