//! The ways to open a store.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::ConnectOptions;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::error::{is_busy, is_no_database, store_error};
use super::statements::Statements;
use super::streak::Streak;
use super::{SqliteStore, file};
use crate::store::timeout::Timeout;
use crate::store::{Identifier, StoreError, StoreErrorKind};

/// The default table of the records.
const TABLE: &str = "idempotency_records";

/// How long SQLite waits for the write of another process. It does not wait, because the store
/// itself sends a statement that got BUSY again, until the store timeout.
const BUSY: Duration = Duration::ZERO;

/// How long the pool lets an operation wait for its turn: longer than the store does.
const TURN: Duration = Duration::from_hours(24);

/// How many connections read at the same time.
const READING: u32 = 4;

/// How long processes that open a new file at the same time wait for one another, and how often
/// they look.
const OPENING: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

impl SqliteStore {
    /// Opens a file, and makes it and the table `idempotency_records` if they are missing.
    ///
    /// The file is in WAL mode with `synchronous = FULL`. A reservation or a response that was
    /// acknowledged survives the end of the process and the loss of power. It belongs on a disk of
    /// this machine, not on a network file system. The two files with the same name and `-wal` or
    /// `-shm` at its end are part of it.
    ///
    /// The file contains responses. On Unix a new one has mode 0600, whatever the umask is, and so
    /// have the two beside it: only the user of the service can read them. The mode of an existing
    /// file is not changed. A warning is logged if users outside its group can read or write it.
    ///
    /// The writes of this process queue for one connection; reads have four others. An operation
    /// waits for its turn, and for other processes, until shortly before the layer's [store
    /// timeout](crate::IdempotencyLayer::store_timeout): a tenth of it earlier, or 100 ms if that
    /// is less. It is then rejected as [unavailable](StoreErrorKind::Unavailable), and the error
    /// says what it waited for. The [module](super) says how processes take turns.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened or written, is not one of SQLite, cannot be in WAL mode, or
    /// contains a table of another version of this crate.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(path.as_ref(), TABLE).await
    }

    /// Opens a file as [`open`](Self::open) does, with another table. Use it for a file with other
    /// contents.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_table(path: impl AsRef<Path>, table: Identifier) -> Result<Self, StoreError> {
        Self::open_with(path.as_ref(), table.as_str()).await
    }

    /// Uses a pool of the caller's own, with its settings. It does not make the table: see
    /// [`migrate`](Self::migrate).
    ///
    /// The promises of the store need these settings:
    ///
    /// - a file, or one connection in all: each connection to `:memory:` has a database of its own;
    /// - a short `busy_timeout`, `Duration::ZERO` is best: the store itself sends again what got
    ///   BUSY, until shortly before the layer's
    ///   [store timeout](crate::IdempotencyLayer::store_timeout). With the default of 5 s the
    ///   statement waits in SQLite, and an operation that the layer has given up holds its
    ///   connection until then;
    /// - an `acquire_timeout` that is not shorter than the store timeout, or operations give up
    ///   earlier; the default is 30 s;
    /// - `synchronous` at `FULL` or above, if what was acknowledged is to survive the loss of
    ///   power.
    ///
    /// With more than one connection, the journal mode should be WAL: otherwise readers and writers
    /// wait for one another. Writes on several connections do not queue, but try in random order.
    ///
    /// A pool of one connection is held for as long as any write of the application's own takes. In
    /// transaction mode it is held for as long as an attempt runs. Duplicates of that attempt get
    /// their 409 without a connection. A replay of another key, and a health check, wait for the
    /// connection. They get 503 if the store timeout passes first.
    pub fn with_pool(pool: SqlitePool) -> Self {
        Self::on(pool.clone(), pool, Arc::new(Statements::on(TABLE)), Timeout::default())
    }

    /// Sets the table of the records, which [`migrate`](Self::migrate) makes. Default:
    /// `idempotency_records`. `SQLite` ignores the case of a name.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "as the other stores take it")]
    pub fn table(self, table: Identifier) -> Self {
        let statements = Arc::new(Statements::on(table.as_str()));
        let Self { timeout, streak, has_operator_index, .. } = self;
        let on = Self::on(self.reading, self.writing, statements, timeout);
        Self { streak, has_operator_index, ..on }
    }

    /// Also makes an index for operators, in [`migrate`](Self::migrate) and
    /// [`migration`](Self::migration). Default: none. It finds what is stuck among any number of
    /// records: see the [module](super#operators). After [`open`](Self::open), call `migrate`.
    #[must_use]
    pub fn operator_index(self) -> Self {
        Self { has_operator_index: true, ..self }
    }

    fn on(
        reading: SqlitePool,
        writing: SqlitePool,
        statements: Arc<Statements>,
        timeout: Timeout,
    ) -> Self {
        // Reservations are undone in the table in which they were made.
        Self {
            reading,
            writing,
            statements,
            unreplied: Arc::new(timeout.clone().into()),
            timeout,
            streak: Arc::new(Streak::new()),
            has_operator_index: false,
        }
    }

    async fn open_with(path: &Path, table: &str) -> Result<Self, StoreError> {
        let statements = Arc::new(Statements::on(table));
        let until = Instant::now() + OPENING;
        loop {
            match Self::try_open(path, &statements).await {
                // Two processes that change the journal mode of a new file at once do not wait for
                // each other.
                Err(error) if is_busy(&error) && Instant::now() < until => {
                    tokio::time::sleep(LOOK).await;
                }
                opened => return opened.map_err(|error| not_opened(path, error)),
            }
        }
    }

    async fn try_open(path: &Path, statements: &Arc<Statements>) -> Result<Self, StoreError> {
        let file = file::absolute(path)?;
        file::create(&file)?;
        let (reading, writing) = connect(&file).await?;
        file::warn_if_others_read(&file);
        let store = Self::on(reading, writing, Arc::clone(statements), Timeout::default());
        store.make_table().await?;
        store.takes_writes().await?;
        Ok(store)
    }

    /// SQLite opens a file that it may not write for reading, and logs nothing. Each new key would
    /// then be rejected.
    async fn takes_writes(&self) -> Result<(), StoreError> {
        let touched = sqlx::query(self.statements.touch.clone()).execute(&self.writing).await;
        match touched.map_err(store_error) {
            // Another process writes, so this one can.
            Err(error) if !is_busy(&error) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// Connects those that read, and the one that writes.
async fn connect(file: &Path) -> Result<(SqlitePool, SqlitePool), StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging();
    let writing = options.clone().create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
    let reading = options.pragma("query_only", "ON");

    let writing = pool(1).connect_with(writing).await.map_err(store_error)?;
    let mode: String =
        sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&writing).await.map_err(store_error)?;
    if mode != "wal" {
        return Err(StoreError::new(StoreErrorKind::Configuration).detail(format!(
            "the file cannot be put into WAL mode, and stays in the mode {mode:?}: check its \
             permissions, and that it is not on a network"
        )));
    }
    let reading = pool(READING).connect_with(reading).await.map_err(store_error)?;
    Ok((reading, writing))
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(TURN)
        // A connection to a file does not age, and is tested when it comes back.
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

fn not_opened(path: &Path, why: StoreError) -> StoreError {
    let why = if is_no_database(&why) { why.of_kind(StoreErrorKind::Configuration) } else { why };
    why.at(format_args!("cannot open {}", path.display()))
}
