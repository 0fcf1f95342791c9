//! The transaction of an attempt.

use std::sync::atomic::Ordering;

use sqlx::Database;

use super::Attempt;
use crate::store::TransactionError;
use crate::store::sql::tx::Tx;

impl Attempt {
    /// Takes the transaction that this attempt runs in. The guard gives it back when it is dropped.
    /// See [`Tx`].
    ///
    /// # Errors
    ///
    /// Returns an error in these cases:
    ///
    /// - The store is not in transaction mode with this database.
    /// - Another part of the handler has the transaction.
    /// - The attempt has ended.
    pub fn transaction<DB: Database>(&self) -> Result<Tx<DB>, TransactionError> {
        let lent = self.0.transaction.as_ref().ok_or(TransactionError::NotInTransactionMode)?;
        if let Some(lease) = self.lease_state() {
            lease.took_transaction.store(true, Ordering::Release);
        }
        lent.take()
    }
}
