//! A file of one test, and the operations on it.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, SqliteConnection};
use tempfile::TempDir;
use tower_idempotency::store::{
    Lease, Outcome, Reservation, ReserveRequest, StorageKey, Store, StoredBody,
};
use tower_idempotency::{Fingerprint, IdempotencyKey, Scope, SqliteStore};

pub(super) const RETENTION: Duration = Duration::from_mins(1);

/// A file of SQLite, gone when it is dropped.
pub(super) struct File {
    directory: TempDir,
}

impl File {
    pub(super) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().join("records.db")
    }

    pub(super) async fn open(&self) -> SqliteStore {
        SqliteStore::open(self.path()).await.unwrap()
    }

    /// How another program opens the file.
    pub(super) fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new().filename(self.path()).create_if_missing(true)
    }

    /// A connection beside those of the store.
    pub(super) async fn connect(&self) -> SqliteConnection {
        self.options().connect().await.unwrap()
    }

    /// The same, which waits for others no longer than this.
    pub(super) async fn connect_with(&self, busy_timeout: Duration) -> SqliteConnection {
        self.options().busy_timeout(busy_timeout).connect().await.unwrap()
    }

    /// Runs one statement beside the store; tells the rows that it gives.
    pub(super) async fn run(&self, statement: &str) -> Vec<SqliteRow> {
        self.connect().await.fetch_all(AssertSqlSafe(statement.to_owned())).await.unwrap()
    }

    /// How many records are there, expired ones included.
    pub(super) async fn size(&self) -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM idempotency_records");
        count.fetch_one(&mut self.connect().await).await.unwrap()
    }
}

/// Holds the right to write until it is dropped.
pub(super) async fn writing(file: &File) -> SqliteConnection {
    let mut connection = file.connect().await;
    connection.execute("BEGIN IMMEDIATE").await.unwrap();
    connection
}

pub(super) fn key(name: &str) -> StorageKey {
    let key = IdempotencyKey::parse(name.as_bytes()).unwrap();
    StorageKey::derive(None, "sqlite", &Scope::anonymous(), &key)
}

pub(super) fn request(name: &str) -> ReserveRequest {
    ReserveRequest::new(
        key(name),
        Fingerprint::of_request(&Method::POST, "/", &HeaderMap::new(), &[], b""),
    )
    .lease(Duration::from_mins(1))
    .retention(Duration::from_mins(2))
}

pub(super) fn outcome(bytes: usize) -> Outcome {
    let body = StoredBody::Whole { bytes: vec![b'x'; bytes].into(), trailers: None };
    Outcome::new(StatusCode::CREATED, body)
}

#[track_caller]
pub(super) fn acquired(reservation: Reservation) -> Lease {
    match reservation {
        Reservation::Acquired(lease) => lease,
        Reservation::Found(record) => panic!("another attempt's record was found: {record:?}"),
    }
}

pub(super) async fn reserve(store: &SqliteStore, name: &str) -> Lease {
    acquired(store.reserve(&request(name)).await.unwrap())
}
