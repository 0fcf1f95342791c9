//! The transaction of an attempt.

use sqlx::Database;

use super::Attempt;
use crate::store::TransactionError;
use crate::store::tx::Tx;

impl Attempt {
    /// Takes the transaction that this attempt runs in, until the guard is dropped. See [`Tx`].
    ///
    /// # Errors
    ///
    /// If the store is not in transaction mode with this database, if another part of the handler has the transaction,
    /// or if the attempt has ended.
    pub fn transaction<DB: Database>(&self) -> Result<Tx<DB>, TransactionError> {
        self.transaction.as_ref().ok_or(TransactionError::NotInTransactionMode)?.take()
    }
}
