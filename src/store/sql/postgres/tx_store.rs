//! Transaction mode: the effects of the handler, its key and its response are committed together or
//! not at all.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::PostgresStore;
use super::cancel::Canceller;
use super::error::{not_committed, not_written, read_only, unreached};
use crate::record::key::StorageKey;
use crate::record::outcome::Outcome;
use crate::store::operator::{
    Cursor, Intervened, Intervention, ListPage, ListRequest, Shown, StatsPage,
};
use crate::store::sql::tx::{Claims, Open, Slot, below_400, in_flight};
use crate::store::{
    CheckItem, Lease, OpenTransaction, Record, RecordStatus, Reservation, ReserveRequest,
    Settlement, Store, StoreError, StoreErrorKind, Token,
};

mod begin;
mod claim;
mod isolation;
mod settle;

use begin::TableNumber;
use claim::Claim;
use isolation::Isolated;
pub use isolation::Isolation;
use settle::write;

/// Stores records in a table of PostgreSQL, and runs each attempt in a transaction of the same
/// database: see [`PostgresStore::in_transaction`].
#[derive(Clone)]
pub struct PostgresTxStore {
    store: PostgresStore,
    claims: Claims,
    canceller: Arc<Canceller>,
    isolated: Isolated,
    number: TableNumber,
    commits: fn(StatusCode) -> bool,
}

impl PostgresStore {
    /// Turns to transaction mode. Each attempt runs in a transaction, which commits the business
    /// writes of the handler together with the key and the response. There is no lease and no
    /// pending record. An attempt that is cut off leaves nothing.
    ///
    /// The handler takes the transaction as [`Tx`](crate::Tx). The pool must be one for the
    /// database of the business tables. Each attempt holds one of its connections from the claim to
    /// the commit: see [`guide::exactly_once`](crate::guide::exactly_once) and
    /// [`guide::pools`](crate::guide::pools).
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
    /// let layer = IdempotencyLayer::new(store.in_transaction()).namespace("payments").require_key();
    /// let app: Router = Router::new().route("/orders", post(order)).route_layer(layer);
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_transaction(self) -> PostgresTxStore {
        PostgresTxStore {
            store: self,
            claims: Claims::default(),
            canceller: Canceller::new(),
            isolated: Isolated::default(),
            number: TableNumber::default(),
            commits: below_400,
        }
    }
}

impl PostgresTxStore {
    /// Sets the isolation of the transactions. Default: none is asked for, so
    /// `default_transaction_isolation` of the server, the database, the role or the connection
    /// applies, which is read committed if nothing sets it.
    ///
    /// Under repeatable read and serializable, effects in the database are exactly once too. But a
    /// handler may run and be rolled back:
    ///
    /// - Under repeatable read, a duplicate in another process begins if the first attempt commits
    ///   between the snapshot of the duplicate and its claim.
    /// - Under serializable, it begins if the first attempt commits between the look for the
    ///   record, which comes before the `BEGIN`, and the claim: one round trip. The look inside of
    ///   the transaction would make unrelated keys conflict.
    ///
    /// Such a duplicate is rolled back when it writes its response, and its client gets 409 with
    /// `Retry-After`, or the stored response under
    /// [`retry_conflicts`](crate::IdempotencyLayer::retry_conflicts). Its calls to other systems
    /// were made twice. Under read committed a duplicate never begins.
    ///
    /// A serializable attempt costs one more round trip. If the server's default is serializable,
    /// the store learns it from its first transaction, and begins that one again.
    #[must_use]
    pub fn isolation(self, isolation: Isolation) -> Self {
        Self { isolated: Isolated::by(isolation), ..self }
    }

    /// Sets which responses commit the writes of the handler. Default: those below 400. Any other
    /// definitive response is stored and replayed too, but the writes of the handler are rolled
    /// back. A response that is not definitive is never committed.
    #[must_use]
    pub fn commit_if(self, commits: fn(StatusCode) -> bool) -> Self {
        Self { commits, ..self }
    }

    /// Makes the table, if there is none: see [`PostgresStore::migrate`].
    ///
    /// # Errors
    ///
    /// As [`PostgresStore::migrate`].
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.store.migrate().await
    }

    /// Sweeps now and then every `interval`: see [`PostgresStore::sweep_every`].
    pub fn sweep_every(&self, interval: Duration) -> impl Future<Output = ()> + Send + use<> {
        self.store.sweep_every(interval)
    }

    /// The store without transactions, on the same table.
    pub fn store(&self) -> &PostgresStore {
        &self.store
    }
}

impl PostgresTxStore {
    async fn try_reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        let first = Lease::first(request, Token::random()?);
        // A likely replay costs one read.
        let claimed = match self
            .claims
            .claim(request, first.token, || self.store.responded_lately(request))
            .await?
        {
            Ok(claimed) => claimed,
            Err(found) => return Ok(Reservation::Found(*found)),
        };
        let connection = self.store.pool.acquire().await.map_err(unreached)?;
        let (mut open, claim) = self.claim(Open::idle(connection, claimed), request).await?;
        let lease = match claim {
            Claim::Mine(Some(found)) => Lease::after(request, first.token, &found),
            Claim::Mine(None) => first,
            Claim::ReadOnly => {
                open.cancel(None).await;
                return Err(read_only());
            }
            Claim::MayNotWrite(role) => {
                open.cancel(None).await;
                return Err(self.store.forbidden(&role, &["INSERT", "UPDATE"]));
            }
            Claim::Found(found) => {
                self.store.lately.responded(&request.key);
                open.cancel(Some(&found)).await;
                return Ok(Reservation::Found(found));
            }
            // The token is not known before it is committed. This one belongs to no attempt.
            Claim::SameRuns => {
                let running = in_flight(request.fingerprint, first.token);
                open.cancel(Some(&running)).await;
                return Ok(Reservation::Found(running));
            }
            // A waiter must query again: the running request may be its own.
            Claim::OtherRuns => {
                let running = in_flight(request.fingerprint.of_another(), first.token);
                open.cancel(None).await;
                return Ok(Reservation::Found(running));
            }
        };
        open.run();
        Ok(Reservation::Acquired(lease.in_transaction(OpenTransaction::new(Slot::new(open)))))
    }
}

impl fmt::Debug for PostgresTxStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresTxStore").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Store for PostgresTxStore {
    async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        self.try_reserve(request).await.map_err(|error| self.store.named(error))
    }

    async fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        let open = Slot::end(lease)?;
        if !(self.commits)(outcome.status) {
            let is_stored = self
                .settle_apart(open, lease, RecordStatus::Success, Some(outcome), retention)
                .await?;
            return if is_stored {
                Ok(Settlement::Applied)
            } else {
                Err(StoreError::new(StoreErrorKind::Conflict))
            };
        }
        let mut open = open.without_savepoint()?;
        let last = [open.mark.began, open.mark.records];
        let complete = &self.store.statements.complete;
        match write(
            complete,
            &mut open,
            lease,
            RecordStatus::Success,
            Some(outcome),
            retention,
            &last,
        )
        .await
        {
            Ok(Some(_)) => {}
            Ok(None) => return Err(self.unwritten(open, lease).await?),
            Err(error) => {
                // The key is not free in this process before it is in the database.
                open.cancel(None).await;
                return Err(not_written(error));
            }
        }
        open.commit().await.map_err(not_committed)?;
        self.store.lately.responded(&lease.key);
        Ok(Settlement::Applied)
    }

    async fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.settle_apart(Slot::end(lease)?, lease, RecordStatus::Failed, outcome, retention)
            .await?;
        Ok(Settlement::Applied)
    }

    async fn release(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        let open = self.still_open(Slot::end(lease)?, lease).await?;
        self.undo(open, lease).await?;
        Ok(Settlement::Applied)
    }

    /// The open transaction shows that the attempt lives.
    async fn renew(&self, _: &Lease) -> Result<Settlement, StoreError> {
        Ok(Settlement::Applied)
    }

    async fn inspect(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        self.store.inspect(key).await
    }

    fn set_timeout(&self, timeout: Duration) {
        self.store.set_timeout(timeout);
    }

    // Handlers hold the connections that a reservation waits for.
    fn opens_in_outage(&self) -> bool {
        false
    }

    fn limits_scopes(&self) -> bool {
        false
    }

    async fn check(&self) -> Result<Vec<CheckItem>, StoreError> {
        self.store.check().await
    }

    async fn list(&self, request: &ListRequest) -> Result<ListPage, StoreError> {
        self.store.list(request).await
    }

    async fn show(&self, key: &StorageKey) -> Result<Shown, StoreError> {
        self.store.show(key).await
    }

    async fn intervene(&self, intervention: &Intervention) -> Result<Intervened, StoreError> {
        self.store.intervene(intervention).await
    }

    async fn stats(&self, after: Option<&Cursor>) -> Result<StatsPage, StoreError> {
        self.store.stats(after).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }
}
