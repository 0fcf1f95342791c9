//! A connection on loan from a pool.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::Database;
use sqlx::pool::PoolConnection;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long a connection may take on its way back to the pool, where the driver asks the server once more. Without a
/// bound, one whose network died at that moment would hold its place in the pool until the system gives it up.
const RETURN: Duration = Duration::from_secs(5);

/// A connection that goes back to its pool only if it is whole: one that was left half way, in a statement or a
/// transaction, would do mischief to the next who has it, and is closed.
pub(super) struct Pooled<DB: Database> {
    connection: PoolConnection<DB>,
    pub(super) is_whole: bool,
}

impl<DB: Database> Pooled<DB> {
    pub(super) fn new(connection: PoolConnection<DB>) -> Self {
        Self { connection, is_whole: true }
    }
}

impl<DB: Database> Deref for Pooled<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        &self.connection
    }
}

impl<DB: Database> DerefMut for Pooled<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        &mut self.connection
    }
}

impl<DB: Database> Drop for Pooled<DB> {
    fn drop(&mut self) {
        if !self.is_whole {
            self.connection.close_on_drop();
        } else if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(timeout(RETURN, self.connection.return_to_pool()));
        }
    }
}
