//! How a file and its table are made, and what is not opened.

use std::error::Error;

use sqlx::sqlite::SqlitePool;
use sqlx::{AssertSqlSafe, Row};
use tower_idempotency::SqliteStore;
use tower_idempotency::store::{Identifier, Store, StoreError, StoreErrorKind};

use super::given::{File, RETENTION, outcome, reserve};

/// The texts of an error and its sources.
fn reasons(error: &StoreError) -> String {
    let mut reasons = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        reasons.push(error.to_string());
        source = error.source();
    }
    reasons.join(": ")
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_processes_open_a_new_file_at_once() {
    for _ in 0..5 {
        let file = File::new();
        let opened: Vec<_> =
            (0..10).map(|_| tokio::spawn(SqliteStore::open(file.path()))).collect();
        let mut stores = Vec::new();
        for store in opened {
            stores.push(store.await.unwrap().unwrap());
        }
        reserve(&stores[0], "one").await;
        for store in &stores {
            store.ping().await.unwrap();
        }
        assert_eq!(file.run("SELECT version FROM idempotency_records_version").await.len(), 1);
        assert_eq!(file.size().await, 1);
    }
}

#[tokio::test]
async fn a_second_migration_changes_nothing_and_does_not_wait_for_a_writer() {
    let file = File::new();
    let store = file.open().await;
    let lease = reserve(&store, "one").await;
    let writer = super::given::writing(&file).await;
    store.migrate().await.unwrap();
    let other = file.open().await;
    drop(writer);
    assert_eq!(other.inspect(&lease.key).await.unwrap().unwrap().token, lease.token);
}

#[tokio::test]
async fn the_table_can_be_made_by_hand_and_have_another_name() {
    let file = File::new();
    let table = Identifier::new("Orders_idempotency").unwrap();
    let pool = SqlitePool::connect_with(file.options()).await.unwrap();
    let store = SqliteStore::with_pool(pool.clone()).table(table.clone());
    let unmade = store.ping().await.unwrap_err();
    assert_eq!(unmade.kind(), StoreErrorKind::Configuration);
    assert!(
        reasons(&unmade).contains("`SqliteStore::migrate` has not been run"),
        "{}",
        reasons(&unmade)
    );

    for _ in 0..2 {
        sqlx::raw_sql(AssertSqlSafe(store.migration())).execute(&pool).await.unwrap();
    }
    let lease = reserve(&store, "one").await;
    let _ = store.complete(&lease, &outcome(10), RETENTION).await.unwrap();
    store.migrate().await.unwrap();
    let beside = SqliteStore::open_table(file.path(), table).await.unwrap();
    assert!(beside.inspect(&lease.key).await.unwrap().is_some());
    let names =
        file.run("SELECT name FROM sqlite_schema WHERE name LIKE 'idempotency_records%'").await;
    assert!(names.is_empty(), "a table was made without a request");
}

#[tokio::test]
async fn two_tables_in_one_file_are_two_stores() {
    let file = File::new();
    let one = file.open().await;
    let other = one.clone().table(Identifier::new("others").unwrap());
    other.migrate().await.unwrap();
    let [first, second] = [reserve(&one, "one").await, reserve(&other, "one").await];
    assert_eq!((first.attempt, second.attempt), (1, 1));
}

#[tokio::test]
async fn a_table_of_another_version_is_rejected_and_left_as_it_is() {
    let file = File::new();
    let store = file.open().await;
    for other in [1, 4] {
        file.run(&format!("UPDATE idempotency_records_version SET version = {other}")).await;
        for error in
            [store.migrate().await.unwrap_err(), SqliteStore::open(file.path()).await.unwrap_err()]
        {
            assert_eq!(error.kind(), StoreErrorKind::Configuration);
            let reasons = reasons(&error);
            assert!(reasons.contains(&format!("has version {other}")), "{reasons}");
            assert!(reasons.contains("drop it, or use another table"), "{reasons}");
        }
        let version = file.run("SELECT version FROM idempotency_records_version").await;
        assert_eq!(version[0].get::<i64, _>(0), other);
    }
}

#[tokio::test]
async fn what_cannot_be_opened_is_a_clear_error() {
    let file = File::new();
    let nowhere = file.path().join("below-a-file-that-is-not-there").join("records.db");
    let error = SqliteStore::open(&nowhere).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Configuration);
    assert!(reasons(&error).contains(nowhere.to_str().unwrap()), "{}", reasons(&error));
    assert!(reasons(&error).contains("No such file"), "{}", reasons(&error));

    std::fs::write(file.path(), "a letter of a thousand bytes".repeat(40)).unwrap();
    let error = SqliteStore::open(file.path()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Configuration, "{}", reasons(&error));

    for path in [":memory:", ""] {
        let error = SqliteStore::open(path).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Configuration, "{}", reasons(&error));
    }
}

#[tokio::test]
async fn a_name_that_sqlite_would_take_for_a_uri_is_the_name_of_a_file() {
    let file = File::new();
    let path = file.path().with_file_name("file:a?mode=memory");
    let lease = reserve(&SqliteStore::open(&path).await.unwrap(), "one").await;
    assert!(path.exists());
    let again = SqliteStore::open(&path).await.unwrap();
    assert!(again.inspect(&lease.key).await.unwrap().is_some());
}
