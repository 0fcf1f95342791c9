//! A connection for the time of one statement.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ::sqlx::pool::PoolConnection;
use ::sqlx::postgres::PgRow;
use ::sqlx::{Connection as _, Error, PgPool, Postgres};
use tokio::time::timeout;

use super::error::{Fate, store_error, unreached};
use super::spares::{Spare, Spares};
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
    pub(super) spares: Spares,
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
/// way leaves a reply in it, which is read before the connection is used again.
pub(super) struct Connection<'a> {
    pool: &'a Pool,
    /// `None` after it was given back.
    inner: Option<Pooled<Postgres>>,
    taken: tokio::time::Instant,
    /// Whether its last statement ended without an error.
    is_clean: bool,
}

impl<'a> Connection<'a> {
    /// Takes one that has just been used, or one out of the pool, or makes one.
    pub(super) async fn take(pool: &'a Pool) -> Result<Self, StoreError> {
        match pool.spares.take(&pool.inner) {
            Some(Spare { connection, taken, .. }) => {
                Ok(Self { pool, inner: Some(connection), taken, is_clean: false })
            }
            None => Self::take_tested(pool).await,
        }
    }

    /// Takes one that the pool has tested, if it does so.
    pub(super) async fn take_tested(pool: &'a Pool) -> Result<Self, StoreError> {
        Self::acquire(pool).await.map_err(|error| pool.not_acquired(error))
    }

    async fn acquire(pool: &'a Pool) -> Result<Self, Error> {
        let inner = Some(Pooled::new(pool.acquire().await?));
        Ok(Self { pool, inner, taken: tokio::time::Instant::now(), is_clean: false })
    }

    /// Takes a connection that works. After a restart of the server, all those in the pool are
    /// lost.
    async fn take_sound(pool: &'a Pool) -> Result<Self, Error> {
        for _ in 0..pool.inner.size() {
            let mut connection = Self::acquire(pool).await?;
            let Some(inner) = &mut connection.inner else { break };
            inner.condition = Condition::Spent;
            if inner.ping().await.is_ok() {
                inner.condition = Condition::Whole;
                return Ok(connection);
            }
        }
        Self::acquire(pool).await
    }

    /// Sends a statement, and once more on another connection if this one is lost or cannot be used
    /// any more. The statement must recognize its own work.
    pub(super) async fn ask(
        &mut self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Option<PgRow>, StoreError> {
        let first = match self.send(statement, values).await {
            Ok(row) => {
                self.pool.has_replied();
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
        self.inner = None;
        match Self::take_sound(self.pool).await {
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

    /// Sends a statement that reads any number of rows, once.
    pub(super) async fn read_all(
        &mut self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Vec<PgRow>, StoreError> {
        let Some(inner) = &mut self.inner else {
            return Err(store_error(Error::PoolClosed));
        };
        inner.condition = Condition::Asked;
        let reply = statement.run_all(inner, values).await;
        let fate = reply.as_ref().err().map(Fate::of);
        let is_spent = matches!(fate, Some(Fate::Lost | Fate::Stale));
        inner.condition = if is_spent { Condition::Spent } else { Condition::Whole };
        reply.map_err(store_error)
    }

    async fn send(
        &mut self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Option<PgRow>, Error> {
        let Some(inner) = &mut self.inner else {
            return Err(Error::PoolClosed);
        };
        self.is_clean = false;
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
                self.is_clean = fate.is_none();
                return reply;
            }
            conflicts += 1;
        }
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.inner.take_if(|_| self.is_clean) {
            let since = tokio::time::Instant::now();
            let spare = Spare { connection, taken: self.taken, since };
            self.pool.spares.leave(spare, &self.pool.inner);
        }
    }
}
