//! [`Tx`]: the transaction of the attempt, in the handler's hands.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use sqlx::{Database, Transaction};
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard};

use super::transaction::{Conflict, Lent};
use super::{ErrorKind, StoreError};

/// The open transaction of the attempt, for the handler's business writes: they are committed together with the key and
/// the answer, or not at all.
///
/// It is used as sqlx's own `Transaction` is, by `&mut *tx`, savepoints included. The handler does not end it: it is
/// committed if the answer is kept as a success below 400, and rolled back if not. A `Tx` that is still held when the
/// handler has answered, by a task that goes on for one, cannot be committed: the client gets 500, and the log says why. So
/// it is when the handler sends `COMMIT` or `ROLLBACK` itself.
///
/// With the feature `axum` it is an extractor; elsewhere it comes from
/// [`Attempt::transaction`](crate::Attempt::transaction).
pub struct Tx<DB: Database> {
    transaction: OwnedMappedMutexGuard<Option<Transaction<'static, DB>>, Transaction<'static, DB>>,
}

impl<DB: Database> Deref for Tx<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        &self.transaction
    }
}

impl<DB: Database> DerefMut for Tx<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        &mut self.transaction
    }
}

impl<DB: Database> fmt::Debug for Tx<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tx")
    }
}

/// Why there is no transaction to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoTransaction {
    /// The store is not in transaction mode, or its transactions are those of another database.
    NotInTransactionMode,
    /// The attempt has ended.
    Ended,
    /// Another part of the handler has it.
    Taken,
}

impl fmt::Display for NoTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotInTransactionMode => "the attempt does not run in a transaction of this database",
            Self::Ended => "the attempt has ended, and its transaction with it",
            Self::Taken => "the transaction of the attempt is taken, and was not given back",
        })
    }
}

impl std::error::Error for NoTransaction {}

impl Lent {
    /// Takes the transaction until the guard is dropped.
    pub(crate) fn take<DB: Database>(&self) -> Result<Tx<DB>, NoTransaction> {
        let open = self.open().ok_or(NoTransaction::Ended)?;
        let slot = open.held::<Slot<DB>>().ok_or(NoTransaction::NotInTransactionMode)?;
        let guard = Arc::clone(&slot.0).try_lock_owned().map_err(|_| NoTransaction::Taken)?;
        match OwnedMutexGuard::try_map(guard, Option::as_mut) {
            Ok(transaction) => Ok(Tx { transaction }),
            Err(_) => Err(NoTransaction::Ended),
        }
    }
}

/// Where the transaction lies while no [`Tx`] has it.
pub(super) struct Slot<DB: Database>(Arc<Mutex<Option<Transaction<'static, DB>>>>);

impl<DB: Database> Slot<DB> {
    pub(super) fn new(transaction: Transaction<'static, DB>) -> Self {
        Self(Arc::new(Mutex::new(Some(transaction))))
    }

    /// Takes it for good, to end it.
    ///
    /// # Errors
    ///
    /// If the handler has not given it back. It is then rolled back when whoever has it lets go of it.
    pub(super) fn end(&self) -> Result<Transaction<'static, DB>, StoreError> {
        match self.0.try_lock() {
            Ok(mut open) => open.take().ok_or_else(|| Lost::Ended.into()),
            Err(_) => Err(Lost::Kept.into()),
        }
    }
}

/// Why the transaction of an attempt cannot be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    Kept,
    Ended,
    Aborted,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "the handler has answered but its `Tx` is still held: a task that goes on has it",
            Self::Ended => "the handler has ended the transaction: it must send neither COMMIT nor ROLLBACK",
            Self::Aborted => "a statement of the handler failed, and it answered as if it had not",
        })
    }
}

impl std::error::Error for Lost {}

impl From<Lost> for StoreError {
    fn from(lost: Lost) -> Self {
        Self::with_source(ErrorKind::TransactionLost, lost)
    }
}

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
