//! The store for many processes that have a PostgreSQL already: version 13 or later.
//!
//! Each operation is one statement and one round trip, and a transaction of its own. A first
//! execution takes two. A replay, a mismatch and a rejection take one, which writes nothing. A
//! second one is needed to take over a record that failed, was abandoned or has expired, and to
//! complete a record that is gone. All times are judged by the clock of the database.
//!
//! ```no_run
//! use std::time::Duration;
//! use tower_idempotency::{IdempotencyLayer, PostgresStore};
//!
//! # async fn set_up() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = sqlx::PgPool::connect("postgres://localhost/shop").await?;
//! let store = PostgresStore::new(pool);
//! store.migrate().await?;
//! tokio::spawn(store.sweep_every(Duration::from_mins(5)));
//! let layer = IdempotencyLayer::new(store).namespace("payments");
//! # Ok(())
//! # }
//! ```
//!
#![doc = include_str!("postgres/table.md")]
//!
#![doc = include_str!("postgres/operators.md")]
//!
#![doc = include_str!("postgres/pool.md")]

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::sqlx::PgPool;
use ::sqlx::postgres::PgRow;

use crate::record::key::StorageKey;
use crate::record::outcome::Outcome;
use crate::store::operator::{
    Cursor, Intervened, Intervention, ListPage, ListRequest, Shown, StatsPage,
};
use crate::store::timeout::Timeout;
use crate::store::undo::{Undo, Unreplied};
use crate::store::{
    CheckItem, Identifier, Lease, Record, RecordStatus, Reservation, ReserveRequest, Settlement,
    State, Store, StoreError, Token,
};

mod cancel;
mod check;
mod connection;
mod error;
mod lately;
mod migration;
mod named;
mod names;
mod operator;
mod reserve;
mod row;
mod settle;
mod spares;
mod statement;
mod sweep;
mod tx_store;

use connection::{Connection, Pool};
use error::takes_no_writes;
use lately::Lately;
use names::{Names, Statements};
use spares::Spares;
use statement::{Statement, Value};
pub use tx_store::{Isolation, PostgresTxStore};

/// Stores records in a table of PostgreSQL, for any number of processes. A clone is the same store.
///
/// See the [module](self) for the table, the pool and the promises.
#[derive(Clone)]
pub struct PostgresStore {
    pool: Pool,
    names: Names,
    prepared: bool,
    has_operator_index: bool,
    statements: Arc<Statements>,
    unreplied: Arc<Unreplied>,
    lately: Lately,
}

impl PostgresStore {
    /// Uses the table `idempotency_records`, which the search path finds or
    /// [`migrate`](Self::migrate) makes.
    pub fn new(pool: PgPool) -> Self {
        let names = Names { schema: None, table: Identifier::known("idempotency_records") };
        let statements = Arc::new(Statements::new(&names, true));
        let timeout = Timeout::default();
        Self {
            unreplied: Arc::new(timeout.clone().into()),
            pool: Pool {
                inner: pool,
                turn: None,
                timeout,
                replied: Arc::default(),
                spares: Spares::default(),
            },
            names,
            prepared: true,
            has_operator_index: false,
            statements,
            lately: Lately::default(),
        }
    }

    /// Sets the schema of the table. Default: none, so that the search path decides.
    /// [`migrate`](Self::migrate) makes it if it is not there.
    #[must_use]
    pub fn schema(mut self, schema: Identifier) -> Self {
        self.names.schema = Some(schema);
        self.renamed()
    }

    /// Sets the name of the table. Default: `idempotency_records`.
    #[must_use]
    pub fn table(mut self, table: Identifier) -> Self {
        self.names.table = table;
        self.renamed()
    }

    /// Sets how long an operation waits for a connection of the pool; then it is rejected with 503.
    /// Default: half of the layer's [store timeout](crate::IdempotencyLayer::store_timeout), which
    /// leaves a late connection the time to be used.
    #[must_use]
    pub fn acquire_timeout(mut self, bound: Duration) -> Self {
        self.pool.turn = Some(bound);
        self
    }

    /// Sets whether each connection prepares a statement the first time that it is sent, as
    /// [`persistent`](sqlx::query::Query::persistent) of sqlx does for one query. Default: `true`.
    /// With `false` each statement is sent as a text that contains its values.
    ///
    /// Set it to `false` behind a pooler that hands out connections by transaction, such as
    /// `PgBouncer` with `pool_mode = transaction`, before its version 1.21 or without
    /// `max_prepared_statements`. There, the next connection does not have the statement that the
    /// last one prepared. Such a `PgBouncer` also needs `ignore_startup_parameters =
    /// extra_float_digits`.
    ///
    /// The text of a statement then contains responses, and the driver logs slow statements. Its
    /// `ConnectOptions` have `disable_statement_logging` for that.
    #[must_use]
    pub fn persistent(mut self, persistent: bool) -> Self {
        self.prepared = persistent;
        self.renamed()
    }

    /// Also makes an index for operators, in [`migrate`](Self::migrate) and
    /// [`migration`](Self::migration). Default: none. It costs each first execution some work of the
    /// server, and finds what is stuck among any number of records: see the
    /// [module](self#operators).
    ///
    /// `migrate` makes it in one transaction, and writes wait for it meanwhile. On a table with many
    /// records, make it by `CREATE INDEX CONCURRENTLY` first, under the name that `migration` has.
    #[must_use]
    pub fn operator_index(self) -> Self {
        Self { has_operator_index: true, ..self }
    }

    /// Reservations are undone in the table where they were made.
    fn renamed(mut self) -> Self {
        self.statements = Arc::new(Statements::new(&self.names, self.prepared));
        self.unreplied = Arc::new(self.pool.timeout.clone().into());
        self.lately = Lately::default();
        self
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("table", &self.names.to_string())
            .finish_non_exhaustive()
    }
}

impl Store for PostgresStore {
    async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        self.try_reserve(request).await.map_err(|error| self.named(error))
    }

    async fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        let ended = self.end(RecordStatus::Success, lease, Some(outcome), retention).await;
        let settlement = ended.map_err(|error| self.named(error))?;
        self.lately.responded(&lease.key);
        Ok(settlement)
    }

    async fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        let ended = self.end(RecordStatus::Failed, lease, outcome, retention).await;
        ended.map_err(|error| self.named(error))
    }

    async fn release(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        self.leave(lease).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        let values = [
            Value::key(&lease.key),
            Value::token(&lease.token),
            Value::lease(lease),
            Value::time(lease.retention),
        ];
        self.settle(&self.statements.renew, &values).await
    }

    async fn inspect(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        let row = self.ask(&self.statements.inspect, &[Value::key(key)]).await?;
        row.as_ref().map(row::record).transpose()
    }

    fn set_timeout(&self, timeout: Duration) {
        self.pool.timeout.raise(timeout);
    }

    fn limits_scopes(&self) -> bool {
        false
    }

    fn opens_transactions(&self) -> bool {
        false
    }

    async fn check(&self) -> Result<Vec<CheckItem>, StoreError> {
        self.look_around().await.map_err(|error| self.named(error))
    }

    async fn list(&self, request: &ListRequest) -> Result<ListPage, StoreError> {
        self.listed(request).await
    }

    async fn show(&self, key: &StorageKey) -> Result<Shown, StoreError> {
        self.shown(key).await
    }

    async fn intervene(&self, intervention: &Intervention) -> Result<Intervened, StoreError> {
        self.intervened(intervention).await
    }

    async fn stats(&self, _: Option<&Cursor>) -> Result<StatsPage, StoreError> {
        self.counted().await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.ask(&self.statements.ping, &[]).await.map(drop)
    }
}

impl PostgresStore {
    async fn try_reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        if let Some(found) = self.responded_lately(request).await? {
            return Ok(Reservation::Found(found));
        }
        let first = Lease::first(request, Token::random()?);
        let connection = Connection::take(&self.pool).await?;
        // From here on it may have been sent.
        let mut undo = Undo::of(self, &self.unreplied, &first);
        let reply = match self.acquire(connection, request, first.clone(), &mut undo).await {
            Err(error) if takes_no_writes(&error) => self.stored(request, error).await,
            reply => reply,
        };
        undo.replied(&reply);
        if let Ok(Reservation::Found(Record { state: State::Success(_), .. })) = &reply {
            self.lately.responded(&request.key);
        }
        reply
    }

    /// A plain read for a request that is likely a retry. The statement that reserves costs more,
    /// even if it only reads.
    async fn responded_lately(
        &self,
        request: &ReserveRequest,
    ) -> Result<Option<Record>, StoreError> {
        if !self.lately.knows(&request.key) {
            return Ok(None);
        }
        Ok(self.inspect(&request.key).await?.filter(|found| !found.yields_to(request)))
    }

    async fn ask(
        &self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Option<PgRow>, StoreError> {
        let asked = async {
            // A statement that cannot be sent again gets a connection that was tested.
            let mut connection = if statement.knows_itself() {
                Connection::take(&self.pool).await?
            } else {
                Connection::take_tested(&self.pool).await?
            };
            connection.ask(statement, values).await
        };
        asked.await.map_err(|error| self.named(error))
    }
}
