//! A connection on loan from a pool.

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection, Database, Error};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long a connection may take on its way back to the pool, where the driver asks the server
/// once more. Without a bound, a connection whose network fails at that moment uses its place in
/// the pool until the system closes it.
const RETURN: Duration = Duration::from_secs(5);
/// How long a connection holds its place while the server has not replied. The statement may wait
/// for a lock, or the network may have fallen silent.
const REPLY: Duration = Duration::from_secs(30);
/// How long a statement may run on after its caller has gone. Then it is cancelled, where that is
/// possible; the pause doubles after each try.
const PATIENCE: Duration = Duration::from_millis(250);
/// How many errors the server may reply with before the connection counts as broken. Each of the
/// statements that were sent has one at most.
const ERRORS: usize = 8;

/// Cancels the statement that runs on a connection. It returns when the server has done so, or
/// cannot be asked.
pub(super) type Cancel = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// The state of a connection when it is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// For anything.
    Whole,
    /// For anything, once the server has replied: a statement was sent, which is a transaction of
    /// its own.
    Asked,
    /// For nothing: it is in a transaction, or lost, or leads to a server that takes no writes.
    Spent,
}

/// A connection that goes back to its pool only if it is whole.
///
/// One that was left half way holds its place in the pool until the server has replied, at most
/// [`REPLY`]. Closed at once, it would free its place while its backend still waits for a lock, and
/// callers that come and go would use up the connections of the server.
pub(super) struct Pooled<DB: Database> {
    /// `None` only while this is dropped.
    connection: Option<PoolConnection<DB>>,
    pub(super) condition: Condition,
    /// How a statement is cancelled that nothing depends on any more.
    pub(super) cancel: Option<Cancel>,
    /// A handler may drop its `Tx` on a thread that is not one of the runtime.
    runtime: Option<Handle>,
}

impl<DB: Database> Pooled<DB> {
    pub(super) fn new(connection: PoolConnection<DB>) -> Self {
        let runtime = Handle::try_current().ok();
        Self { connection: Some(connection), condition: Condition::Whole, cancel: None, runtime }
    }
}

impl<DB: Database> Deref for Pooled<DB> {
    type Target = DB::Connection;

    #[expect(clippy::expect_used, reason = "only `drop` takes the connection")]
    fn deref(&self) -> &DB::Connection {
        self.connection.as_ref().expect("a connection")
    }
}

impl<DB: Database> DerefMut for Pooled<DB> {
    #[expect(clippy::expect_used, reason = "only `drop` takes the connection")]
    fn deref_mut(&mut self) -> &mut DB::Connection {
        self.connection.as_mut().expect("a connection")
    }
}

impl<DB: Database> Drop for Pooled<DB> {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let runtime = self.runtime.take();
        let _entered = runtime.as_ref().map(Handle::enter);
        match (self.condition, &runtime) {
            (Condition::Whole, Some(runtime)) => {
                runtime.spawn(timeout(RETURN, connection.return_to_pool()));
            }
            (Condition::Whole, None) => {}
            (condition, runtime) => {
                // A runtime that shuts down drops the task, and the connection with it.
                connection.close_on_drop();
                if let Some(runtime) = runtime {
                    runtime.spawn(give_back(connection, condition, self.cancel.take()));
                }
            }
        }
    }
}

/// Waits until the server has replied to what was sent, and gives the connection back or closes it.
async fn give_back<DB: Database>(
    mut connection: PoolConnection<DB>,
    condition: Condition,
    cancel: Option<Cancel>,
) {
    match timeout(REPLY, cancelling(cancel.as_ref(), replied(&mut *connection))).await {
        Ok(Ok(())) if condition == Condition::Asked => {
            let _ = timeout(RETURN, connection.return_to_pool()).await;
        }
        // The server ends the transaction when it is told, and the place is free after that.
        Ok(Ok(())) => {
            let _ = timeout(RETURN, connection.close()).await;
        }
        Ok(Err(_)) | Err(_) => drop(connection.detach()),
    }
}

/// Reads the replies to all that was sent before. The errors among them are ignored.
async fn replied<C: Connection>(connection: &mut C) -> Result<(), Error> {
    let mut errors = 0;
    loop {
        match connection.ping().await {
            Err(Error::Database(_)) if errors < ERRORS => errors += 1,
            replied => return replied,
        }
    }
}

/// Waits for something that the connection does, and cancels its statement if that takes longer
/// than [`PATIENCE`]. A cancellation is over before this goes on, so it cannot meet a later
/// statement.
pub(super) async fn cancelling<T>(cancel: Option<&Cancel>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let Some(cancel) = cancel else { return work.await };
    let mut patience = PATIENCE;
    loop {
        if let Ok(done) = timeout(patience, &mut work).await {
            return done;
        }
        cancel().await;
        patience *= 2;
    }
}
