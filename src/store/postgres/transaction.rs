//! Transaction mode: the effects of the handler, its key and its answer are committed together or not at all.

use std::fmt;
use std::time::Duration;

use ::sqlx::postgres::PgRow;
use ::sqlx::{Postgres, Row as _};
use http::StatusCode;

use super::super::table::Answer;
use super::super::tx::{Claims, Lost, Open, Slot, in_flight};
use super::super::{
    ErrorKind, Lease, OpenTransaction, Record, Reservation, Reserve, Settlement, Status, Store, StoreError,
    Token,
};
use super::error::{not_begun, not_committed, unreached};
use super::statement::{Statement, Value};
use super::{PostgresStore, key, row, time, token};
use crate::key::StorageKey;
use crate::outcome::Outcome;

mod claim;

use claim::Claim;
pub use claim::Isolation;

/// Keeps records in a table of PostgreSQL, and runs each attempt in a transaction of the same database: see
/// [`PostgresStore::in_transaction`].
#[derive(Clone)]
pub struct PostgresTxStore {
    store: PostgresStore,
    claims: Claims,
    isolation: Isolation,
    commits: fn(StatusCode) -> bool,
}

impl PostgresStore {
    /// Turns to transaction mode: each attempt runs in a transaction, in which its handler does its business writes, and
    /// which commits them together with the key and the answer. There is no lease, no pending record and nothing to clean
    /// up: an attempt that is cut off was never begun.
    ///
    /// The handler takes the transaction as [`Tx`](crate::Tx). The pool must be one for the database that the business
    /// tables are in, and each attempt holds one of its connections from the claim to the commit: see
    /// [`guide::exactly_once`](crate::guide::exactly_once) and [`guide::pools`](crate::guide::pools).
    ///
    /// ```no_run
    /// use axum::{Router, routing::post};
    /// use sqlx::{PgPool, Postgres};
    /// use tower_idempotency::store::TxError;
    /// use tower_idempotency::{IdempotencyLayer, PostgresStore, Tx};
    ///
    /// async fn order(mut tx: Tx<Postgres>) -> Result<&'static str, TxError> {
    ///     sqlx::query("INSERT INTO orders (item) VALUES ('book')").execute(&mut *tx).await?;
    ///     Ok("ordered")
    /// }
    ///
    /// # async fn set_up() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = PgPool::connect("postgres://localhost/shop").await?;
    /// let store = PostgresStore::new(pool);
    /// store.migrate().await?;
    /// let layer = IdempotencyLayer::new(store.in_transaction()).require_key();
    /// let app: Router = Router::new().route("/orders", post(order)).route_layer(layer);
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_transaction(self) -> PostgresTxStore {
        PostgresTxStore {
            store: self,
            claims: Claims::default(),
            isolation: Isolation::default(),
            commits: |status| status.as_u16() < 400,
        }
    }
}

impl PostgresTxStore {
    /// Sets the isolation of the transactions. Default: read committed.
    ///
    /// With the others, of concurrent duplicates in several processes a second one may begin before it is rolled back: effects in the
    /// database are still exactly once, calls to other systems are not.
    #[must_use]
    pub fn isolation(self, isolation: Isolation) -> Self {
        Self { isolation, ..self }
    }

    /// Sets which answers commit what the handler wrote. Default: those below 400. Every other definitive answer is kept
    /// and replayed all the same, but what the handler wrote is rolled back; an answer that is not definitive is never
    /// committed, whatever this says.
    #[must_use]
    pub fn commits(self, commits: fn(StatusCode) -> bool) -> Self {
        Self { commits, ..self }
    }

    /// The store without transactions, on the same table: for [`migrate`](PostgresStore::migrate) and the sweeper.
    pub fn store(&self) -> &PostgresStore {
        &self.store
    }
}

impl fmt::Debug for PostgresTxStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresTxStore").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Store for PostgresTxStore {
    async fn reserve(&self, request: &Reserve) -> Result<Reservation, StoreError> {
        if self.claims.is_known(&request.key)
            && let Some(found) = self.store.inspect(&request.key).await?
            && !found.yields_to(request)
        {
            return Ok(Reservation::Found(found));
        }
        let first = Lease::first(request, Token::random()?);
        let claimed = match self.claims.claim(request, first.token) {
            Ok(claimed) => claimed,
            Err(running) => return Ok(Reservation::Found(running)),
        };
        let connection = self.store.pool.acquire().await.map_err(unreached)?;
        let begin = self.begin(request);
        let mut open = Open::<Postgres>::begin(connection, begin, claimed).await.map_err(not_begun)?;
        let row = self.store.statements.claim.run(open.connection_mut(), &[key(&request.key)]).await;
        let row = row.map_err(not_begun)?.ok_or_else(|| StoreError::new(ErrorKind::Corrupt))?;
        let claim = Claim::read(&row)?;
        let lease = match claim.found {
            Some(found) if !found.yields_to(request) => {
                self.claims.answered(&request.key);
                open.cancel();
                return Ok(Reservation::Found(found));
            }
            found if claim.is_mine => match found {
                Some(found) => {
                    open.replaces = Some(found.token);
                    Lease::after(request, first.token, &found)
                }
                None => first,
            },
            _ => {
                open.cancel();
                let fingerprint = request.fingerprint;
                let running = if claim.is_another { fingerprint.of_another() } else { fingerprint };
                // Nobody knows the token before it is committed; this one is nobody's.
                return Ok(Reservation::Found(in_flight(running, first.token)));
            }
        };
        open.mark = claim.mark;
        Ok(Reservation::Acquired(Lease { transaction: Some(OpenTransaction::new(Slot::new(open))), ..lease }))
    }

    async fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        let mut open = end(lease)?;
        if !(self.commits)(outcome.status) {
            let kept = self.keep(open, lease, Status::Success, Some(outcome), retention).await?;
            return if kept { Ok(Settlement::Applied) } else { Err(StoreError::new(ErrorKind::Conflict)) };
        }
        let mark = Value::Number(Some(open.mark));
        let answer = &self.store.statements.answer;
        let written = write(answer, &mut open, lease, Status::Success, Some(outcome), retention, mark).await;
        match written.map_err(not_committed)? {
            Some(_) => open.commit().await.map_err(not_committed)?,
            None => {
                self.still_open(open, lease).await?.cancel();
                return Err(StoreError::new(ErrorKind::Conflict));
            }
        }
        self.claims.answered(&lease.key);
        Ok(Settlement::Applied)
    }

    async fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.keep(end(lease)?, lease, Status::Failed, outcome, retention).await?;
        Ok(Settlement::Applied)
    }

    async fn release(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        let open = self.still_open(end(lease)?, lease).await?;
        open.rollback().await.map_err(not_committed)?;
        Ok(Settlement::Applied)
    }

    /// The transaction is all the sign of life that there is.
    async fn renew(&self, _: &Lease) -> Result<Settlement, StoreError> {
        Ok(Settlement::Applied)
    }

    async fn inspect(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        self.store.inspect(key).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }
}

impl PostgresTxStore {
    /// Rolls back, and writes what is to be remembered of the attempt; whether that was possible.
    async fn keep(
        &self,
        open: Open<Postgres>,
        lease: &Lease,
        status: Status,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        let open = self.still_open(open, lease).await?;
        self.keep_apart(open, lease, status, outcome, retention).await
    }

    async fn keep_apart(
        &self,
        open: Open<Postgres>,
        lease: &Lease,
        status: Status,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        let mut open = open.rollback().await.map_err(not_committed)?;
        open.begun();
        let lock = Value::Number(Some(self.lock(&lease.key, &[])));
        let keep = &self.store.statements.keep;
        let written = write(keep, &mut open, lease, status, outcome, retention, lock).await;
        let written = written.map_err(not_committed)?;
        open.ended();
        Ok(written.is_some())
    }

    /// # Errors
    ///
    /// If the handler has ended the transaction. Nobody can tell its effects then, and the attempt is remembered as
    /// abandoned.
    async fn still_open(
        &self,
        mut open: Open<Postgres>,
        lease: &Lease,
    ) -> Result<Open<Postgres>, StoreError> {
        let claim = &self.store.statements.claim;
        match claim.run(open.connection_mut(), &[key(&lease.key)]).await {
            Ok(Some(row)) if row.try_get("mark").ok() != Some(open.mark) => {
                self.keep_apart(open, lease, Status::Pending, None, lease.retention).await?;
                Err(Lost::Ended.into())
            }
            // One that a failed statement has aborted answers nothing, and is still the same.
            _ => Ok(open),
        }
    }
}

fn end(lease: &Lease) -> Result<Open<Postgres>, StoreError> {
    let slot = lease.transaction.as_ref().and_then(OpenTransaction::held::<Slot<Postgres>>);
    slot.ok_or_else(|| StoreError::from(Lost::Ended))?.end()
}

async fn write(
    statement: &Statement,
    open: &mut Open<Postgres>,
    lease: &Lease,
    status: Status,
    outcome: Option<&Outcome>,
    retention: Duration,
    last: Value<'_>,
) -> Result<Option<PgRow>, ::sqlx::Error> {
    let fingerprint = lease.fingerprint.to_bytes();
    let previous = lease.previous.map(row::write_previous);
    let replaces = open.replaces;
    let status = status.to_string();
    let answer = outcome.map(Answer::of);
    let status = Value::Text(Some(&status));
    let mut values = vec![key(&lease.key), token(&lease.token), status, time(retention)];
    values.extend(super::answer(answer.as_ref()));
    values.extend([
        Value::Bytes(Some(&fingerprint)),
        Value::Number(Some(lease.attempt.into())),
        Value::Text(previous.as_deref()),
        Value::Bytes(replaces.as_ref().map(|token| &token.as_bytes()[..])),
        last,
    ]);
    statement.run(open.connection_mut(), &values).await
}
