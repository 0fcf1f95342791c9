//! An open transaction, and its place while no `Tx` has it.

use std::sync::Arc;
use std::{fmt, mem};

use sqlx::pool::PoolConnection;
use sqlx::{Connection as _, Database, Error, SqlStr};
use sqlx_core::transaction::TransactionManager as _;
use tokio::sync::Mutex;

use super::Claimed;
use crate::store::sql::pooled::{Cancel, Condition, Pooled};
use crate::store::{Lease, OpenTransaction, Record, StoreError, StoreErrorKind};

/// A transaction on a connection out of the pool. The driver's own type gives a connection back
/// even in the middle of its `BEGIN`. The next user would be in a foreign transaction. This type
/// closes such a connection.
pub(in crate::store::sql) struct Open<DB: Database> {
    /// Spent while it is in a transaction, which the server ends with the connection.
    connection: Pooled<DB>,
    /// The key is in use in this process as long as this exists.
    claimed: Claimed,
    pub(in crate::store::sql) mark: Mark,
}

/// Identifies a transaction on its connection, and its table among those of the same name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::store::sql) struct Mark {
    /// When it began, in microseconds.
    pub(in crate::store::sql) began: i64,
    pub(in crate::store::sql) records: i64,
}

impl<DB: Database> Open<DB> {
    /// Takes a connection for a transaction that is still to be begun.
    pub(in crate::store::sql) fn idle(connection: PoolConnection<DB>, claimed: Claimed) -> Self {
        Self { connection: Pooled::new(connection), claimed, mark: Mark::default() }
    }

    /// Begins another transaction, after the one before was rolled back.
    pub(in crate::store::sql) async fn begin_again(
        &mut self,
        statement: SqlStr,
    ) -> Result<(), Error> {
        self.connection.condition = Condition::Spent;
        // The driver's guard would roll back when it is dropped. The depth that it has counted
        // stays.
        mem::forget(self.connection.begin_with(statement).await?);
        Ok(())
    }

    /// Rolls back to the beginning of the savepoints that the handler has left open.
    pub(in crate::store::sql) async fn leave_savepoints(&mut self) -> Result<(), Error> {
        while DB::TransactionManager::get_transaction_depth(&self.connection) > 1 {
            DB::TransactionManager::rollback(&mut self.connection).await?;
        }
        Ok(())
    }

    pub(in crate::store::sql) fn connection(&self) -> &DB::Connection {
        &self.connection
    }

    pub(in crate::store::sql) fn connection_mut(&mut self) -> &mut DB::Connection {
        &mut self.connection
    }

    /// The attempt begins. Other requests with the key need not wait to learn that.
    pub(in crate::store::sql) fn run(&mut self) {
        self.claimed.run();
    }

    /// # Errors
    ///
    /// If the handler has left a savepoint open, because only the savepoint would be committed.
    pub(in crate::store::sql) fn without_savepoint(self) -> Result<Self, StoreError> {
        match DB::TransactionManager::get_transaction_depth(&self.connection) {
            0 | 1 => Ok(self),
            _ => Err(Lost::Nested.into()),
        }
    }

    /// Commits. After an error the transaction may still be open.
    pub(in crate::store::sql) async fn commit(&mut self) -> Result<(), Error> {
        // A commit that waits for a replica would be reported as done if it were cancelled.
        self.connection.cancel = None;
        DB::TransactionManager::commit(&mut self.connection).await?;
        self.connection.condition = Condition::Whole;
        Ok(())
    }

    /// Sets how a statement of this transaction is cancelled once its attempt has ended.
    pub(in crate::store::sql) fn cancel_by(&mut self, cancel: Cancel) {
        self.connection.cancel = Some(cancel);
    }

    /// What cancels a statement that the handler has left running.
    pub(in crate::store::sql) fn cancel_of_handler(&self) -> Option<Cancel> {
        self.connection.cancel.clone()
    }

    /// Rolls back, and returns the connection for the next statement.
    pub(in crate::store::sql) async fn rollback(mut self) -> Result<Self, Error> {
        while self.connection.is_in_transaction() {
            DB::TransactionManager::rollback(&mut self.connection).await?;
        }
        self.connection.cancel = None;
        self.connection.condition = Condition::Whole;
        Ok(self)
    }

    /// Ends a transaction that is not needed, because there is a record or an attempt. Rolls back
    /// before the waiters of this process learn of `found`. Otherwise the next request would see a
    /// claim without an owner.
    pub(in crate::store::sql) async fn cancel(self, found: Option<&Record>) {
        if let Some(found) = found {
            self.claimed.tell(found);
        }
        // If it cannot be rolled back its connection is closed, and the database does the same.
        let _ = self.rollback().await;
    }

    /// A statement is sent on a connection that is in no transaction any more.
    pub(in crate::store::sql) fn begun(&mut self) {
        self.connection.condition = Condition::Asked;
    }

    pub(in crate::store::sql) fn ended(&mut self) {
        self.connection.condition = Condition::Whole;
    }
}

/// The place of the transaction while no `Tx` has it.
pub(in crate::store::sql) struct Slot<DB: Database>(Arc<Mutex<Option<Open<DB>>>>);

impl<DB: Database> Slot<DB> {
    pub(in crate::store::sql) fn new(open: Open<DB>) -> Arc<Self> {
        Arc::new(Self(Arc::new(Mutex::new(Some(open)))))
    }

    pub(super) fn open(&self) -> &Arc<Mutex<Option<Open<DB>>>> {
        &self.0
    }

    /// Takes the transaction of a lease for good, to end it.
    ///
    /// # Errors
    ///
    /// If the handler has not given it back. It is then rolled back when the handler lets go of it.
    /// Or if the store has ended it already: a response that was rejected is not stored by a second
    /// try either.
    pub(in crate::store::sql) fn end(lease: &Lease) -> Result<Open<DB>, StoreError> {
        let slot = lease.transaction.as_ref().and_then(OpenTransaction::held::<Self>);
        let slot = slot.ok_or_else(|| StoreError::from(Lost::Ended))?;
        let open = slot.0.try_lock();
        match open {
            Ok(mut open) => {
                open.take().ok_or_else(|| StoreError::with_source(StoreErrorKind::Rejected, IsOver))
            }
            Err(_) => Err(Lost::StillHeld.into()),
        }
    }
}

/// The store has ended the transaction of the attempt before.
#[derive(Debug)]
struct IsOver;

impl fmt::Display for IsOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the transaction of the attempt is over")
    }
}

impl std::error::Error for IsOver {}

/// Why the transaction of an attempt cannot be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::sql) enum Lost {
    StillHeld,
    Ended,
    Aborted,
    Nested,
    Moved,
}

impl Lost {
    fn text(self) -> &'static str {
        match self {
            Self::StillHeld => {
                "the handler has responded but its `Tx` is still held, for example by another task"
            }
            Self::Ended => {
                "the handler has ended it. What it committed stays without a response, and a retry \
                 runs in doubt: look at what this attempt has written. The handler must send \
                 neither COMMIT nor ROLLBACK"
            }
            Self::Nested => {
                "the handler has begun a savepoint and neither committed it nor rolled it back"
            }
            Self::Moved => {
                "the handler has changed `search_path`, which leads to other records: give the \
                 store its schema"
            }
            Self::Aborted => "a statement of the handler failed, and its response hides that",
        }
    }
}

impl From<Lost> for StoreError {
    fn from(lost: Lost) -> Self {
        Self::new(StoreErrorKind::TransactionLost).detail(lost.text())
    }
}
