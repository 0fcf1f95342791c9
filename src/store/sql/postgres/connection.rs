//! A connection for the time of one statement.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ::sqlx::pool::PoolConnection;
use ::sqlx::postgres::PgRow;
use ::sqlx::{Connection as _, Error, PgPool, Postgres};
use tokio::time::timeout;

use super::error::{Fate, store_error, unreached};
use super::statement::{Statement, Value};
use crate::runtime::lock::lock;
use crate::store::StoreError;
use crate::store::sql::pooled::{Condition, Pooled};
use crate::store::timeout::Timeout;

/// How often a statement is sent again after a conflict. A reservation races with others for the
/// same key, and finds after each round that one of them has won.
const CONFLICTS: usize = 5;

/// The pool of the application, and how long an operation waits for a connection. Without a bound
/// of its own, operations that wait after an outage would get their connections at the end of the
/// store timeout. They would have no time to use them, and close them half used. So would the next
/// ones.
#[derive(Clone)]
pub(super) struct Pool {
    pub(super) inner: PgPool,
    /// `None`: half of the store timeout.
    pub(super) turn: Option<Duration>,
    pub(super) timeout: Timeout,
    /// When the server last replied.
    pub(super) replied: Arc<Mutex<Option<Instant>>>,
}

impl Pool {
    pub(super) async fn acquire(&self) -> Result<PoolConnection<Postgres>, Error> {
        let turn = self.turn.unwrap_or_else(|| self.timeout.get() / 2);
        timeout(turn, self.inner.acquire()).await.unwrap_or(Err(Error::PoolTimedOut))
    }

    fn has_replied(&self) {
        *lock(&self.replied) = Some(Instant::now());
    }

    /// The error if there was no connection. If the server replies to others, clients have used up
    /// the pool.
    fn not_acquired(&self, error: Error) -> StoreError {
        let is_used_up = matches!(error, Error::PoolTimedOut)
            && lock(&self.replied).is_some_and(|replied| replied.elapsed() < self.timeout.get());
        if is_used_up { unreached(error).stays_closed() } else { unreached(error) }
    }
}

/// A connection out of the pool, which is whole between two statements. A call that is dropped half
/// way leaves a reply in it, which is read before the connection is used again. `None` after it was
/// given back.
pub(super) struct Connection(Option<Pooled<Postgres>>);

impl Connection {
    /// Takes one out of the pool, or makes one.
    pub(super) async fn take(pool: &Pool) -> Result<Self, StoreError> {
        Self::of(pool.acquire().await).map_err(|error| pool.not_acquired(error))
    }

    fn of(acquired: Result<PoolConnection<Postgres>, Error>) -> Result<Self, Error> {
        acquired.map(|connection| Self(Some(Pooled::new(connection))))
    }

    /// Takes a connection that works. After a restart of the server, all those in the pool are
    /// lost.
    async fn take_sound(pool: &Pool) -> Result<Self, Error> {
        for _ in 0..pool.inner.size() {
            let mut connection = Self::of(pool.acquire().await)?;
            let Some(inner) = &mut connection.0 else { break };
            inner.condition = Condition::Spent;
            if inner.ping().await.is_ok() {
                inner.condition = Condition::Whole;
                return Ok(connection);
            }
        }
        Self::of(pool.acquire().await)
    }

    /// Sends a statement, and once more on another connection if this one is lost or cannot be used
    /// any more. The statement must recognize its own work.
    pub(super) async fn ask(
        &mut self,
        pool: &Pool,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Option<PgRow>, StoreError> {
        let first = match self.send(statement, values).await {
            Ok(row) => {
                pool.has_replied();
                return Ok(row);
            }
            Err(error) => error,
        };
        let fate = Fate::of(&first);
        let is_sent_again = fate == Fate::Stale || (fate == Fate::Lost && statement.knows_itself());
        if !is_sent_again {
            return Err(store_error(first));
        }
        // Given back first, because the pool may have only this one.
        self.0 = None;
        match Self::take_sound(pool).await {
            Ok(other) => *self = other,
            Err(error) => {
                return Err(if fate == Fate::Stale {
                    unreached(error)
                } else {
                    store_error(first)
                });
            }
        }
        // The first one may have been carried out, even if the second one was rejected.
        let second = self.send(statement, values).await;
        second.map_err(|second| store_error(if fate == Fate::Lost { first } else { second }))
    }

    async fn send(
        &mut self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Option<PgRow>, Error> {
        let Some(inner) = &mut self.0 else {
            return Err(Error::PoolClosed);
        };
        let mut conflicts = 0;
        loop {
            inner.condition = Condition::Asked;
            // If the default isolation is serializable, new keys on one page of the index conflict.
            let reply = match conflicts {
                0 => statement.run(inner, values).await,
                _ => statement.run_read_committed(inner, None, values).await,
            };
            let fate = reply.as_ref().err().map(Fate::of);
            let is_spent = matches!(fate, Some(Fate::Lost | Fate::Stale));
            inner.condition = if is_spent { Condition::Spent } else { Condition::Whole };
            if fate != Some(Fate::Conflict) || conflicts == CONFLICTS {
                return reply;
            }
            conflicts += 1;
        }
    }
}
