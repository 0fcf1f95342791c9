//! Two databases with a business table, and queries on them that bypass the layer.

use std::future::Future;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Database, Executor, PgConnection, Postgres, Sqlite,
    SqliteConnection,
};
use tempfile::TempDir;
use tower_idempotency::store::Store;
use tower_idempotency::{PostgresStore, PostgresTxStore, SqliteStore};

use crate::support::patiently;
use crate::support::postgres::{PostgresServer, pool};

/// A database that a test has to itself.
pub(crate) trait Base: Send + Sync + Sized + 'static {
    type Db: Database;
    type Store: Store + Clone;

    async fn start() -> Self;

    /// A store with connections of its own, as another process has it.
    async fn store(&self) -> Self::Store;

    /// A store with one connection in all.
    async fn store_of_one(&self) -> Self::Store;

    /// A store on the same table that leases.
    async fn leasing(&self) -> impl Store + Clone;

    /// Runs statements in the hands of a handler.
    fn run(
        connection: &mut <Self::Db as Database>::Connection,
        sql: String,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Begins a savepoint and passes its guard to `mem::forget`.
    fn forget_savepoint(
        connection: &mut <Self::Db as Database>::Connection,
    ) -> impl Future<Output = ()> + Send;

    /// Inserts in a savepoint, which is rolled back, and in another one, which is not.
    fn use_savepoints(
        connection: &mut <Self::Db as Database>::Connection,
    ) -> impl Future<Output = ()> + Send;

    /// Runs a statement beside everything; tells the first column of each row.
    async fn ask(&self, sql: &str) -> Vec<String>;

    /// Waits until no connection is in a transaction, and so none in a pool.
    async fn at_rest(&self);

    /// Makes the records as old as if they had expired.
    async fn expire(&self);

    async fn orders(&self) -> Vec<String> {
        self.ask("SELECT item FROM orders ORDER BY item").await
    }

    async fn records(&self) -> Vec<String> {
        self.ask("SELECT status FROM idempotency_records ORDER BY status").await
    }
}

pub(crate) struct Pg {
    pub(crate) server: PostgresServer,
}

impl Pg {
    pub(crate) async fn start_with(settings: &[&str]) -> Self {
        Self::on(PostgresServer::start_with(settings)).await
    }

    /// The same on a server with settings of its own.
    pub(crate) async fn on(server: PostgresServer) -> Self {
        let pg = Self { server };
        pg.server.store().migrate().await.unwrap();
        pg.ask("CREATE TABLE orders (item text NOT NULL)").await;
        pg
    }

    pub(crate) fn tx_store(&self) -> PostgresTxStore {
        self.server.store().in_transaction()
    }

    /// Waits until so many rows come of a statement.
    pub(crate) async fn until(&self, sql: &str, rows: usize) {
        let mut connection = self.connect().await;
        let seen = async {
            while connection.fetch_all(AssertSqlSafe(sql.to_owned())).await.unwrap().len() != rows {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        patiently(seen).await;
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        self.server
            .url()
            .parse::<sqlx::postgres::PgConnectOptions>()
            .unwrap()
            .connect()
            .await
            .unwrap()
    }
}

impl Base for Pg {
    type Db = Postgres;
    type Store = PostgresTxStore;

    async fn start() -> Self {
        Self::on(PostgresServer::start()).await
    }

    async fn store(&self) -> PostgresTxStore {
        self.tx_store()
    }

    async fn store_of_one(&self) -> PostgresTxStore {
        PostgresStore::new(pool(self.server.port(), 1)).in_transaction()
    }

    async fn leasing(&self) -> impl Store + Clone {
        self.server.store()
    }

    async fn run(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
    }

    async fn forget_savepoint(connection: &mut PgConnection) {
        std::mem::forget(sqlx::Connection::begin(connection).await.unwrap());
    }

    async fn use_savepoints(connection: &mut PgConnection) {
        let mut lost = sqlx::Connection::begin(&mut *connection).await.unwrap();
        lost.execute("INSERT INTO orders VALUES ('lost')").await.unwrap();
        lost.rollback().await.unwrap();
        let mut inner = sqlx::Connection::begin(connection).await.unwrap();
        inner.execute("INSERT INTO orders VALUES ('inner')").await.unwrap();
        inner.commit().await.unwrap();
    }

    async fn ask(&self, sql: &str) -> Vec<String> {
        let mut connection = self.connect().await;
        let rows = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        sqlx::Connection::close(connection).await.unwrap();
        rows
    }

    async fn at_rest(&self) {
        self.until("SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'", 0)
            .await;
    }

    async fn expire(&self) {
        self.ask("UPDATE idempotency_records SET expires_at = now() - interval '1 s'").await;
    }
}

pub(crate) struct Lite {
    directory: TempDir,
}

impl Lite {
    async fn connect(&self) -> SqliteConnection {
        let file = self.directory.path().join("shop.db");
        let options =
            SqliteConnectOptions::new().filename(file).busy_timeout(Duration::from_secs(20));
        options.connect().await.unwrap()
    }

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(self.directory.path().join("shop.db")).await.unwrap()
    }
}

impl Base for Lite {
    type Db = Sqlite;
    type Store = tower_idempotency::SqliteTxStore;

    async fn start() -> Self {
        let lite = Self { directory: tempfile::tempdir().unwrap() };
        lite.open().await;
        lite.ask("CREATE TABLE orders (item TEXT NOT NULL)").await;
        lite
    }

    async fn store(&self) -> Self::Store {
        self.open().await.in_transaction()
    }

    async fn store_of_one(&self) -> Self::Store {
        let options = SqliteConnectOptions::new().filename(self.directory.path().join("shop.db"));
        let options = options.busy_timeout(Duration::ZERO);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        SqliteStore::with_pool(pool).in_transaction()
    }

    async fn leasing(&self) -> impl Store + Clone {
        self.open().await
    }

    async fn run(connection: &mut SqliteConnection, sql: String) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
    }

    async fn forget_savepoint(connection: &mut SqliteConnection) {
        std::mem::forget(sqlx::Connection::begin(connection).await.unwrap());
    }

    async fn use_savepoints(connection: &mut SqliteConnection) {
        let mut lost = sqlx::Connection::begin(&mut *connection).await.unwrap();
        lost.execute("INSERT INTO orders VALUES ('lost')").await.unwrap();
        lost.rollback().await.unwrap();
        let mut inner = sqlx::Connection::begin(connection).await.unwrap();
        inner.execute("INSERT INTO orders VALUES ('inner')").await.unwrap();
        inner.commit().await.unwrap();
    }

    async fn ask(&self, sql: &str) -> Vec<String> {
        let mut connection = self.connect().await;
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await.unwrap()
    }

    async fn at_rest(&self) {
        self.connect().await.execute("BEGIN IMMEDIATE").await.unwrap();
    }

    async fn expire(&self) {
        self.ask("UPDATE idempotency_records SET expires_at = '2000-01-01 00:00:00.000'").await;
    }
}
