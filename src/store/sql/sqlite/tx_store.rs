//! Transaction mode: the effects of the handler, its key and its response are committed together or
//! not at all.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use sqlx::Sqlite;

use super::SqliteStore;
use super::error::store_error;
use super::write::send;
use crate::record::key::StorageKey;
use crate::record::outcome::Outcome;
use crate::store::operator::{
    Cursor, Intervened, Intervention, ListPage, ListRequest, Shown, StatsPage,
};
use crate::store::sql::tx::{Claims, Lost, Open, Slot, below_400};
use crate::store::{
    CheckItem, Lease, OpenTransaction, Record, RecordStatus, Reservation, ReserveRequest,
    Settlement, Store, StoreError, Token,
};

mod steps;

use steps::{RELEASE, ROLLBACK_TO, SAVEPOINT};

/// Stores records in a file of SQLite, and runs each attempt in a transaction of the same file: see
/// [`SqliteStore::in_transaction`].
#[derive(Clone)]
pub struct SqliteTxStore {
    store: SqliteStore,
    claims: Claims,
    commits: fn(StatusCode) -> bool,
}

impl SqliteStore {
    /// Turns to transaction mode. Each attempt runs in a transaction, which commits the business
    /// writes of the handler together with the key and the response. There is no lease. An attempt
    /// that is cut off leaves nothing.
    ///
    /// The handler takes the transaction as [`Tx`](crate::Tx), and its tables are in the same file.
    /// SQLite has one writer at a time, so attempts run one after another, each from
    /// `BEGIN IMMEDIATE` to its commit. Handlers should be short, and should not call other
    /// systems. An attempt that waits for its turn longer than the layer's
    /// [store timeout](crate::IdempotencyLayer::store_timeout) is rejected with 503. A longer
    /// timeout allows a longer queue. See [`guide::exactly_once`](crate::guide::exactly_once) and
    /// [`guide::pools`](crate::guide::pools).
    ///
    /// ```no_run
    /// use sqlx::Sqlite;
    /// use tower_idempotency::store::TxError;
    /// use tower_idempotency::{IdempotencyLayer, SqliteStore, Tx};
    ///
    /// async fn order(mut tx: Tx<Sqlite>) -> Result<&'static str, TxError> {
    ///     sqlx::query("INSERT INTO orders (item) VALUES ('book')").execute(&mut *tx).await?;
    ///     Ok("ordered")
    /// }
    ///
    /// # async fn set_up() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = SqliteStore::open("shop.db").await?;
    /// let layer = IdempotencyLayer::new(store.in_transaction()).namespace("payments").require_key();
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_transaction(self) -> SqliteTxStore {
        SqliteTxStore { store: self, claims: Claims::default(), commits: below_400 }
    }
}

impl SqliteTxStore {
    /// Sets which responses commit the writes of the handler. Default: those below 400. Any other
    /// definitive response is stored and replayed too, but the writes of the handler are rolled
    /// back. A response that is not definitive is never committed.
    #[must_use]
    pub fn commit_if(self, commits: fn(StatusCode) -> bool) -> Self {
        Self { commits, ..self }
    }

    /// Makes the table, if there is none: see [`SqliteStore::migrate`].
    ///
    /// # Errors
    ///
    /// As [`SqliteStore::migrate`].
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.store.migrate().await
    }

    /// Sweeps now and then after each `interval`: see [`SqliteStore::sweep_every`].
    pub fn sweep_every(&self, interval: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.store.sweep_every(interval)
    }

    /// The store without transactions, on the same table.
    pub fn store(&self) -> &SqliteStore {
        &self.store
    }
}

impl SqliteTxStore {
    async fn try_reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        let (wait, first) = (self.store.wait(), Lease::first(request, Token::random()?));
        let find = || self.store.find(&wait, &request.key);
        let claimed = match self.claims.claim(request, first.token, find).await? {
            Ok(claimed) => claimed,
            Err(found) => return Ok(Reservation::Found(*found)),
        };
        let connection = self.store.turn(&wait).await?;
        let mut open = Open::<Sqlite>::idle(connection, claimed);
        self.begin(&mut open, &wait).await?;
        // No other connection writes from here on.
        let found = self.find(&mut open, &request.key).await?;
        let lease = match &found {
            Some(found) if !found.yields_to(request) => {
                open.cancel(Some(found)).await;
                return Ok(Reservation::Found(found.clone()));
            }
            Some(found) => Lease::after(request, first.token, found),
            None => first,
        };
        self.claim(&mut open, &lease, found.as_ref()).await?;
        sqlx::query(SAVEPOINT).execute(open.connection_mut()).await.map_err(store_error)?;
        open.run();
        Ok(Reservation::Acquired(lease.in_transaction(OpenTransaction::new(Slot::new(open)))))
    }
}

impl fmt::Debug for SqliteTxStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteTxStore").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Store for SqliteTxStore {
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
            return self
                .settle_apart(open, lease, RecordStatus::Success, Some(outcome), retention)
                .await;
        }
        let mut open = self.still_open(open.without_savepoint()?, lease, RELEASE).await?;
        let failed = match self
            .settle(&mut open, lease, RecordStatus::Success, Some(outcome), retention)
            .await
        {
            Ok(true) => None,
            Ok(false) => Some(Lost::Ended.into()),
            Err(error) => Some(error),
        };
        if let Some(error) = failed {
            open.cancel(None).await;
            return Err(error);
        }
        self.commit(open, &self.store.wait()).await?;
        Ok(Settlement::Applied)
    }

    async fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.settle_apart(Slot::end(lease)?, lease, RecordStatus::Failed, outcome, retention).await
    }

    async fn release(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        let open = self.still_open(Slot::end(lease)?, lease, ROLLBACK_TO).await?;
        let mut open = open.rollback().await.map_err(store_error)?;
        // The number of an attempt after the first goes on in the record that it would have taken
        // over.
        if let Some(replaces) = &lease.replaces {
            let count = sqlx::query(self.store.statements.count.clone());
            let count = count.bind(&lease.key.as_bytes()[..]).bind(&replaces.as_bytes()[..]);
            let count = count.bind(lease.attempt);
            send(open.connection_mut(), &self.store.wait(), &self.store.streak, count).await?;
        }
        self.store.streak.freed();
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

    // Handlers hold what a reservation waits for.
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
