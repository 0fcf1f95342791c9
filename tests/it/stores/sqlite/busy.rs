//! A file that another process writes to: operations wait for it until the store timeout.

use std::error::Error;
use std::process::Stdio;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::post;
use http::StatusCode;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{Executor, Sqlite};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;
use tower_idempotency::store::{
    Reservation, Settlement, Store, StoreError, StoreErrorKind, TxError,
};
use tower_idempotency::{IdempotencyLayer, Scope, SqliteStore, Tx};

use super::given::{File, RETENTION, key, outcome, request, reserve, writing};
use crate::support::{Gate, patiently};

/// No operation takes this long, on whatever machine.
const LONG: Duration = Duration::from_secs(20);

/// Longer than SQLite itself or a pool was told to wait when the store had bounds of its own.
const LONGER_THAN_BEFORE: Duration = Duration::from_millis(2500);

/// The texts of an error and its sources.
fn reasons(error: &StoreError) -> String {
    let mut reasons = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        reasons = format!("{reasons}: {error}");
        source = error.source();
    }
    reasons
}

/// A handler that inserts what it gets, and then waits at a gate and takes some time.
fn app(store: &SqliteStore, bound: Duration, gate: &Gate, takes: Duration) -> Router {
    let gate = gate.clone();
    let handler = async move |mut tx: Tx<Sqlite>, item: String| -> Result<StatusCode, TxError> {
        sqlx::query("INSERT INTO orders VALUES (?1)").bind(item).execute(&mut *tx).await?;
        sleep(takes).await;
        gate.passed().await;
        Ok(StatusCode::CREATED)
    };
    let layer = IdempotencyLayer::new(store.clone().in_transaction());
    let layer = layer.scope(|_| Scope::anonymous()).store_timeout(bound).require_key();
    Router::new().route("/", post(handler)).layer(layer)
}

async fn ask(app: &Router, key: &str) -> StatusCode {
    let request =
        Request::post("/").header("x-idempotency-key", key).body(Body::from(key.to_owned()));
    app.clone().oneshot(request.unwrap()).await.unwrap().status()
}

const ORDERS: &str = "CREATE TABLE orders (item TEXT NOT NULL)";
const ITEMS: &str = "SELECT item FROM orders";
const PATH: &str = "IDEMPOTENCY_TEST_BUSY_PATH";
const TAKES: &str = "IDEMPOTENCY_TEST_BUSY_TAKES";
const CLIENTS: usize = 8;

/// Not a test: each of the processes that the next test starts. It prints a line for each response.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "is started by another test"]
async fn pays_for_some_seconds() {
    let (Ok(path), Ok(takes)) = (std::env::var(PATH), std::env::var(TAKES)) else { return };
    let store = SqliteStore::open(path).await.unwrap();
    let gate = Gate::new();
    gate.open();
    let app = app(&store, LONG, &gate, Duration::from_millis(takes.parse().unwrap()));
    let end = Instant::now() + Duration::from_secs(3);
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let app = app.clone();
        clients.spawn(async move {
            for number in 0.. {
                if Instant::now() > end {
                    return;
                }
                let key = format!("{}-{client}-{number}", std::process::id());
                println!("\nstatus {}", ask(&app, &key).await.as_u16());
            }
        });
    }
    clients.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_that_write_without_a_break_serve_all_and_write_one_row_for_each() {
    for takes in ["5", "100"] {
        let file = File::new();
        drop(file.open().await);
        file.run(ORDERS).await;
        let children = [(); 2].map(|()| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args([
                "--ignored",
                "--nocapture",
                "--exact",
                "stores::sqlite::busy::pays_for_some_seconds",
            ]);
            command
                .env(PATH, file.path())
                .env(TAKES, takes)
                .stdout(Stdio::piped())
                .kill_on_drop(true);
            command.spawn().unwrap().wait_with_output()
        });
        let mut statuses = Vec::new();
        for child in children {
            let output = patiently(child).await.unwrap();
            let told = String::from_utf8(output.stdout).unwrap();
            let before = statuses.len();
            statuses.extend(
                told.lines().filter_map(|line| Some(line.strip_prefix("status ")?.to_owned())),
            );
            assert!(statuses.len() > before, "handlers of {takes} ms: {told}");
        }
        let rejected = statuses.iter().filter(|status| *status != "201").count();
        assert_eq!(rejected, 0, "of {}, with handlers of {takes} ms", statuses.len());
        let rows = file.run("SELECT item FROM orders GROUP BY item HAVING count(*) = 1").await;
        assert_eq!((rows.len(), file.run(ITEMS).await.len()), (statuses.len(), statuses.len()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_handler_makes_another_key_wait_until_the_store_timeout_in_each_process() {
    let file = File::new();
    let stores = [file.open().await, file.open().await];
    file.run(ORDERS).await;
    let gate = Gate::new();
    let [one, other] = stores.each_ref().map(|store| app(store, LONG, &gate, Duration::ZERO));
    let asking = |app: &Router, key: &'static str| {
        let app = app.clone();
        tokio::spawn(async move { ask(&app, key).await })
    };
    let slow = asking(&one, "slow");
    let mut held = file.connect_with(Duration::ZERO).await;
    patiently(async { while held.execute("BEGIN IMMEDIATE; ROLLBACK").await.is_ok() {} }).await;
    let waiting = [asking(&one, "here"), asking(&other, "there")];
    sleep(LONGER_THAN_BEFORE).await;
    gate.open();
    assert_eq!(slow.await.unwrap(), 201);
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap(), 201);
    }
    assert_eq!(file.run(ITEMS).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_store_timeout_rejects_soon_and_the_error_says_what_was_waited_for() {
    let file = File::new();
    let store = file.open().await;
    store.set_timeout(Duration::from_millis(200));
    let writer = writing(&file).await;
    let begun = Instant::now();
    let error = store.reserve(&request("key")).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_millis(1700), "{:?}", begun.elapsed());
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    let told = reasons(&error);
    assert!(told.contains("another connection wrote to the file for 180ms"), "{told}");
    assert!(told.contains("SQLite: busy"), "{told}");
    drop(writer);

    let options = SqlitePoolOptions::new().max_connections(1).connect_with(file.options()).await;
    let pool = options.unwrap();
    let store = SqliteStore::with_pool(pool.clone());
    store.set_timeout(Duration::from_millis(200));
    let held = pool.acquire().await.unwrap();
    let told = reasons(&store.inspect(&key("key")).await.unwrap_err());
    assert!(told.contains("no connection was free for 180ms"), "{told}");
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_waits_for_a_writer_until_the_store_timeout() {
    let file = File::new();
    let store = file.open().await;
    store.set_timeout(LONG);
    let lease = reserve(&store, "completed").await;
    let released = reserve(&store, "released").await;
    let other = store.clone().table(tower_idempotency::store::Identifier::new("others").unwrap());
    let writer = writing(&file).await;
    let (new, response) = (request("new"), outcome(10));
    let (renewed, made, completed, released, swept, migrated, ()) = tokio::join!(
        store.renew(&lease),
        store.reserve(&new),
        store.complete(&lease, &response, RETENTION),
        store.release(&released),
        store.sweep(10),
        other.migrate(),
        async {
            sleep(LONGER_THAN_BEFORE).await;
            drop(writer);
        }
    );
    assert_eq!(renewed.unwrap(), Settlement::Applied);
    assert!(matches!(made.unwrap(), Reservation::Acquired(_)));
    assert_eq!(completed.unwrap(), Settlement::Applied);
    assert_eq!(released.unwrap(), Settlement::Applied);
    assert_eq!(swept.unwrap(), 0);
    migrated.unwrap();
    assert_eq!(file.size().await, 2);
}

/// A pool of the caller's own on a file without WAL mode, where readers and writers stop one
/// another.
async fn without_wal(file: &File) -> (SqliteStore, SqliteConnectOptions) {
    let options =
        file.options().journal_mode(SqliteJournalMode::Delete).busy_timeout(Duration::ZERO);
    let pool =
        SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await.unwrap();
    let store = SqliteStore::with_pool(pool);
    store.migrate().await.unwrap();
    store.set_timeout(LONG);
    (store, options)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_waits_for_readers_where_they_stop_writers() {
    let file = File::new();
    let (store, _) = without_wal(&file).await;
    file.run(ORDERS).await;
    let gate = Gate::new();
    gate.open();
    let app = app(&store, LONG, &gate, Duration::ZERO);
    let mut reader = file.connect().await;
    reader.execute("BEGIN; SELECT * FROM orders").await.unwrap();
    let first = tokio::spawn({
        let app = app.clone();
        async move { ask(&app, "key").await }
    });
    // A commit that waits lets no new reader in.
    let mut late = file.connect_with(Duration::ZERO).await;
    patiently(async { while late.execute(ITEMS).await.is_ok() {} }).await;
    reader.execute("COMMIT").await.unwrap();
    assert_eq!(patiently(first).await.unwrap(), 201);
    assert_eq!(file.run(ITEMS).await.len(), 1);

    // In lease mode each statement commits by itself.
    reader.execute("BEGIN; SELECT * FROM orders").await.unwrap();
    let reserved = tokio::spawn({
        let store = store.clone();
        async move { store.reserve(&request("lease")).await }
    });
    patiently(async { while late.execute(ITEMS).await.is_ok() {} }).await;
    reader.execute("COMMIT").await.unwrap();
    assert!(matches!(patiently(reserved).await.unwrap().unwrap(), Reservation::Acquired(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_wait_for_a_process_that_has_the_file_to_itself() {
    let file = File::new();
    let (store, _) = without_wal(&file).await;
    let lease = reserve(&store, "key").await;
    let mut alone = file.connect().await;
    alone.execute("BEGIN EXCLUSIVE").await.unwrap();
    let asked = async {
        assert!(store.inspect(&lease.key).await.unwrap().is_some());
        store.ping().await.unwrap();
        store.migrate().await.unwrap();
    };
    let mut asked = std::pin::pin!(asked);
    assert!(timeout(Duration::from_millis(300), &mut asked).await.is_err(), "they did not wait");
    alone.execute("COMMIT").await.unwrap();
    patiently(asked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_cut_off_leaves_its_turn_to_the_next_and_writes_nothing() {
    let file = File::new();
    let store = file.open().await;
    file.run(ORDERS).await;
    store.set_timeout(LONG);
    let gate = Gate::new();
    gate.open();
    let app = app(&store, LONG, &gate, Duration::ZERO);
    let writer = writing(&file).await;
    let leased = timeout(Duration::from_millis(300), store.reserve(&request("leased"))).await;
    assert!(leased.is_err());
    let tx = store.clone().in_transaction();
    assert!(timeout(Duration::from_millis(300), tx.reserve(&request("tx"))).await.is_err());
    drop(writer);
    assert_eq!(patiently(ask(&app, "next")).await, 201);
    for name in ["leased", "tx"] {
        assert!(store.inspect(&key(name)).await.unwrap().is_none(), "{name}");
    }
    assert_eq!(reserve(&store, "leased").await.attempt, 1);
}
