//! Statements that handlers have left running are cancelled.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::sqlx::{Connection as _, Error, PgConnection, PgPool};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::statement::{Statement, Value};
use crate::store::sql::error::SqlError;
use crate::store::sql::pooled::Cancel;

/// How long it may take to connect and to cancel one statement.
const BOUND: Duration = Duration::from_secs(1);

const HELD: &str = "its connection is in use until the server replies, 30 s at most";

/// Cancels over one connection outside the pool, one statement after another. The connection is
/// closed when no other statement waits for it. All connections of the pool may be in use by the
/// statements that are to be cancelled.
pub(super) struct Canceller {
    statement: Statement,
    connection: Mutex<Option<PgConnection>>,
    waiting: AtomicUsize,
}

/// Where a transaction runs, and which one it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    pub(super) backend: i32,
    /// When it began, in microseconds.
    pub(super) mark: i64,
}

impl Canceller {
    pub(super) fn new() -> Arc<Self> {
        // By the simple protocol, which goes through every pooler.
        let statement = Statement::new(include_str!("cancel.sql"), "", false);
        Arc::new(Self { statement, connection: Mutex::default(), waiting: AtomicUsize::new(0) })
    }

    /// A function that cancels the statement of one transaction.
    pub(super) fn of(self: &Arc<Self>, pool: &PgPool, running: Running) -> Cancel {
        let (canceller, pool) = (Arc::clone(self), pool.clone());
        Arc::new(move || {
            let (canceller, pool) = (Arc::clone(&canceller), pool.clone());
            Box::pin(async move { canceller.cancel(&pool, running).await })
        })
    }

    async fn cancel(&self, pool: &PgPool, running: Running) {
        let waiting = Waiting::among(&self.waiting);
        let mut place = self.connection.lock().await;
        drop(waiting);
        // A connection that is given up half way is dropped, and does not come back to its place.
        match timeout(BOUND, self.send(place.take(), pool, running)).await {
            Ok(Ok(connection)) if self.waiting.load(Ordering::Relaxed) > 0 => {
                *place = Some(connection);
            }
            Ok(Ok(connection)) => {
                let _ = timeout(BOUND, connection.close()).await;
            }
            Ok(Err(error)) => {
                let error = SqlError(error);
                tracing::warn!(%error, "statement of a handler not cancelled: {HELD}");
            }
            Err(_) => tracing::warn!("statement of a handler not cancelled in time: {HELD}"),
        }
    }

    async fn send(
        &self,
        connection: Option<PgConnection>,
        pool: &PgPool,
        Running { backend, mark }: Running,
    ) -> Result<PgConnection, Error> {
        let mut connection = match connection {
            Some(connection) => connection,
            None => PgConnection::connect_with(&pool.connect_options()).await?,
        };
        let values = [Value::Number(Some(backend.into())), Value::Number(Some(mark))];
        self.statement.run(&mut connection, &values).await?;
        Ok(connection)
    }
}

/// A cancellation that waits for its turn, until this is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn among(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
