//! Writers that are in the way, operations that are cut off, processes that are killed.

use std::process::Stdio;
use std::time::{Duration, Instant};

use sqlx::Row;
use sqlx::sqlite::SqlitePoolOptions;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tower_idempotency::store::{Settlement, State, Store, StoreErrorKind};
use tower_idempotency::{PreviousAttempt, SqliteStore};

use super::given::{File, RETENTION, acquired, key, outcome, request, reserve, writing};
use crate::support::patiently;

#[tokio::test]
async fn a_record_survives_the_end_of_its_process_whatever_its_state() {
    let file = File::new();
    let before = file.open().await;
    let pending = reserve(&before, "pending").await;
    let [success, failed] = [reserve(&before, "success").await, reserve(&before, "failed").await];
    let stored = outcome(1 << 20);
    assert_eq!(before.complete(&success, &stored, RETENTION).await.unwrap(), Settlement::Applied);
    assert_eq!(before.fail(&failed, Some(&stored), RETENTION).await.unwrap(), Settlement::Applied);
    drop(before);

    let after = file.open().await;
    let state = async |name| after.inspect(&key(name)).await.unwrap().unwrap().state;
    assert!(matches!(state("pending").await, State::Pending { abandoned: false }));
    assert!(matches!(state("success").await, State::Success(found) if found == stored));
    assert!(matches!(state("failed").await, State::Failed(Some(found)) if found == stored));
    assert_eq!(after.renew(&pending).await.unwrap(), Settlement::Applied);
}

#[tokio::test]
async fn while_another_process_writes_an_operation_is_rejected_in_time_and_works_again_after() {
    let file = File::new();
    let store = file.open().await;
    let lease = reserve(&store, "held").await;
    let writer = writing(&file).await;
    let start = Instant::now();
    let (reserved, completed) =
        tokio::join!(async { store.reserve(&request("new")).await }, async {
            store.complete(&lease, &outcome(10), RETENTION).await
        });
    assert_eq!(reserved.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(completed.unwrap_err().kind(), StoreErrorKind::Unavailable);
    // 1.9 s, on a machine that has nothing else to do.
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    store.ping().await.unwrap();

    drop(writer);
    assert_eq!(reserve(&store, "new").await.attempt, 1);
    assert_eq!(store.complete(&lease, &outcome(10), RETENTION).await.unwrap(), Settlement::Applied);
}

#[tokio::test]
async fn a_pool_with_no_connection_left_rejects_in_time() {
    let file = File::new();
    let bound = Duration::from_millis(100);
    let options = SqlitePoolOptions::new().max_connections(1).acquire_timeout(bound);
    let pool = options.connect_with(file.options()).await.unwrap();
    let store = SqliteStore::with_pool(pool.clone());
    store.migrate().await.unwrap();
    let held = pool.acquire().await.unwrap();
    assert_eq!(
        store.reserve(&request("one")).await.unwrap_err().kind(),
        StoreErrorKind::Unavailable
    );
    drop(held);
    reserve(&store, "one").await;
}

#[tokio::test]
async fn a_full_file_rejects_writes_that_need_more_space_and_serves_the_rest() {
    let file = File::new();
    let before = file.open().await;
    let stored = reserve(&before, "stored").await;
    assert_eq!(
        before.complete(&stored, &outcome(10), RETENTION).await.unwrap(),
        Settlement::Applied
    );
    let pending = reserve(&before, "pending").await;

    let pool =
        SqlitePoolOptions::new().connect_with(file.options().pragma("max_page_count", "20")).await;
    let store = SqliteStore::with_pool(pool.unwrap());
    let rejected = store.complete(&pending, &outcome(1 << 20), RETENTION).await.unwrap_err();
    assert_eq!(rejected.kind(), StoreErrorKind::Full);
    assert!(matches!(store.inspect(&stored.key).await.unwrap().unwrap().state, State::Success(_)));
    assert_eq!(store.renew(&pending).await.unwrap(), Settlement::Applied);
    assert_eq!(
        store.complete(&pending, &outcome(10), RETENTION).await.unwrap(),
        Settlement::Applied
    );
}

/// A store whose statements wait in SQLite, in the hands of the thread of their connection.
async fn waiting_in_sqlite(file: &File) -> SqliteStore {
    drop(file.open().await);
    let options = file.options().busy_timeout(Duration::from_secs(20));
    SqliteStore::with_pool(SqlitePoolOptions::new().connect_with(options).await.unwrap())
}

#[tokio::test]
async fn a_reservation_that_is_cut_off_is_taken_back_and_leaves_the_store_usable() {
    let file = File::new();
    let store = waiting_in_sqlite(&file).await;
    for told in [
        "CREATE TABLE told (what TEXT)",
        "CREATE TRIGGER made AFTER INSERT ON idempotency_records BEGIN INSERT INTO told VALUES ('made'); END",
        "CREATE TRIGGER gone AFTER DELETE ON idempotency_records BEGIN INSERT INTO told VALUES ('gone'); END",
    ] {
        file.run(told).await;
    }
    let writer = writing(&file).await;
    // Long enough that it waits for the writer, and not so long that it gives up.
    let cut =
        tokio::time::timeout(Duration::from_millis(500), store.reserve(&request("cut"))).await;
    assert!(cut.is_err());
    drop(writer);
    // The statement is carried out in the end, because the thread that has it is not interrupted.
    let mut told = Vec::new();
    patiently(async {
        while told.len() < 2 {
            told = file.run("SELECT what FROM told ORDER BY rowid").await;
        }
    })
    .await;
    assert_eq!([0, 1].map(|row| told[row].get::<String, _>(0)), ["made", "gone"]);
    assert_eq!(reserve(&store, "cut").await.attempt, 1);
}

#[tokio::test]
async fn a_take_over_that_is_cut_off_leaves_the_record_that_it_found() {
    let file = File::new();
    let store = waiting_in_sqlite(&file).await;
    let first = reserve(&store, "cut").await;
    assert_eq!(
        store.fail(&first, Some(&outcome(10)), RETENTION).await.unwrap(),
        Settlement::Applied
    );
    for told in [
        "CREATE TABLE told (attempt INTEGER)",
        "CREATE TRIGGER telling AFTER UPDATE ON idempotency_records \
         BEGIN INSERT INTO told VALUES (NEW.attempt); END",
    ] {
        file.run(told).await;
    }
    let rejecting = request("cut").retry_abandoned(false);
    let writer = writing(&file).await;
    // Long enough that it waits for the writer, and not so long that it gives up.
    let cut = tokio::time::timeout(Duration::from_millis(500), store.reserve(&rejecting)).await;
    assert!(cut.is_err());
    drop(writer);
    // The statement is carried out in the end, and then undone.
    let mut told = Vec::new();
    patiently(async {
        while told.len() < 2 {
            told = file.run("SELECT attempt FROM told ORDER BY rowid").await;
        }
    })
    .await;
    assert_eq!([0, 1].map(|row| told[row].get::<i64, _>(0)), [2, 1]);
    let second = acquired(store.reserve(&rejecting).await.unwrap());
    let previous = PreviousAttempt::Failed { status: Some(http::StatusCode::CREATED) };
    assert_eq!((second.attempt, second.previous), (2, Some(previous)));
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_cut_off_at_any_moment_leave_no_transaction_and_no_connection_behind() {
    let file = File::new();
    let store = file.open().await;
    let stored = outcome(1000);
    for round in 0..100_u64 {
        let cut = async {
            let lease = reserve(&store, &format!("cut-{round}")).await;
            let _ = store.renew(&lease).await.unwrap();
            let _ = store.complete(&lease, &stored, RETENTION).await.unwrap();
            let _ = store.sweep(10).await.unwrap();
        };
        let _ = tokio::time::timeout(Duration::from_micros(120 * round), cut).await;
    }
    let lease = reserve(&store, "whole").await;
    assert_eq!(store.complete(&lease, &stored, RETENTION).await.unwrap(), Settlement::Applied);
    // No connection has the right to write any more; otherwise this call would not succeed.
    drop(writing(&file).await);
}

const PATH: &str = "IDEMPOTENCY_TEST_SQLITE_PATH";

/// Not a test: the process that the test below kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "is started by another test"]
async fn writes_until_it_is_killed() {
    let Ok(path) = std::env::var(PATH) else { return };
    let store = SqliteStore::open(path).await.unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0_u64.. {
                    let name = format!("{}-{task}-{number}", std::process::id());
                    let lease = reserve(&store, &name).await;
                    let _ = store.complete(&lease, &outcome(20_000), RETENTION).await.unwrap();
                    println!("\nstored {name}");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_while_it_writes_damages_nothing_and_loses_nothing_it_acknowledged() {
    let file = File::new();
    let store = file.open().await;
    let mut stored = Vec::new();
    for round in 0..5 {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([
            "--ignored",
            "--nocapture",
            "--exact",
            "stores::sqlite::faults::writes_until_it_is_killed",
        ]);
        let mut child = command
            .env(PATH, file.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut names = Vec::new();
        patiently(async {
            while names.len() < 5 + 3 * round {
                let line = lines.next_line().await.unwrap().expect("the process has ended");
                names.extend(line.strip_prefix("stored ").map(str::to_owned));
            }
        })
        .await;
        child.kill().await.unwrap();
        stored.append(&mut names);
    }
    for name in &stored {
        let found = store.inspect(&key(name)).await.unwrap().unwrap();
        assert!(matches!(found.state, State::Success(found) if found == outcome(20_000)), "{name}");
    }
    let sound = file.run("PRAGMA integrity_check").await;
    assert_eq!(sound[0].get::<String, _>(0), "ok");
    reserve(&store, "after").await;
    let records = file.size().await;
    assert!(records >= i64::try_from(stored.len()).unwrap());
}
