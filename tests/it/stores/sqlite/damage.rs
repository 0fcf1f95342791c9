//! A record that cannot be read is an error, never an absent record.

use http::StatusCode;
use sqlx::Executor;
use tower_idempotency::store::{
    Outcome, Settlement, Store, StoreError, StoreErrorKind, StoredBody,
};

use super::given::{File, RETENTION, outcome, request, reserve};

#[tokio::test]
async fn a_damaged_row_is_an_error_and_stays_for_inspection() {
    let file = File::new();
    let store = file.open().await;
    let damages = [
        "status = 'done'",
        "status = 'pending'",
        "attempt = -1",
        "attempt = 4294967296",
        "token = x'00'",
        "fingerprint = x''",
        "response_status = NULL",
        "response_status = 42",
        "response_status = 4294967497",
        "response_headers = NULL",
        "response_headers = CAST('no colon' AS BLOB)",
        "response_headers = x'ff3a20ff0a'",
        "response_body = NULL",
        "response_missing = 'eaten', response_body = NULL",
        "response_missing = 'lost'",
        "response_trailers = CAST('\u{100}: a' AS BLOB)",
        "response_request_id = '\u{e9}'",
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let name = format!("key-{number}");
        let lease = reserve(&store, &name).await;
        let _ = store.complete(&lease, &outcome(10), RETENTION).await.unwrap();
        let mut beside = file.connect().await;
        beside.execute("PRAGMA ignore_check_constraints = ON").await.unwrap();
        let damage = format!("UPDATE idempotency_records SET {damage} WHERE key = ?1");
        let damage = sqlx::query(sqlx::AssertSqlSafe(damage)).bind(&lease.key.as_bytes()[..]);
        assert_eq!(damage.execute(&mut beside).await.unwrap().rows_affected(), 1);

        let rejected = store.reserve(&request(&name)).await;
        let kind = rejected.as_ref().map_err(StoreError::kind);
        assert!(
            matches!(kind, Err(StoreErrorKind::Corrupt)),
            "{:?}: {rejected:?}",
            damages[number]
        );
        assert_eq!(store.inspect(&lease.key).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
        assert_eq!(file.size().await, i64::try_from(number).unwrap() + 1);
    }
}

#[tokio::test]
async fn the_table_takes_no_row_that_could_not_be_read() {
    let file = File::new();
    let store = file.open().await;
    let lease = reserve(&store, "key").await;
    let _ = store.complete(&lease, &outcome(10), RETENTION).await.unwrap();
    for damage in [
        "key = x'00'",
        "status = 'done'",
        "status = 'pending'",
        "attempt = 0",
        "token = x'00'",
        "fingerprint = x''",
        "lease_until = '2001-01-01 00:00:00.000'",
        "expires_at = NULL",
        "response_status = NULL",
        "response_status = 'ok'",
    ] {
        let damage = format!("UPDATE idempotency_records SET {damage}");
        let rejected = file.connect().await.execute(sqlx::AssertSqlSafe(damage.clone())).await;
        assert!(rejected.is_err(), "{damage}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_an_error_of_its_own_kind() {
    let file = File::new();
    let store = file.open().await;
    let lease = reserve(&store, "key").await;
    let _ = store.complete(&lease, &outcome(100_000), RETENTION).await.unwrap();
    drop(store);
    file.run("PRAGMA wal_checkpoint(TRUNCATE)").await;
    let mut bytes = std::fs::read(file.path()).unwrap();
    // What follows the first page, which tells what the file is.
    bytes[4096..].fill(0xff);
    std::fs::write(file.path(), bytes).unwrap();
    let error = match tower_idempotency::SqliteStore::open(file.path()).await {
        Ok(store) => store.inspect(&lease.key).await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
}

#[tokio::test]
async fn what_sqlite_would_reject_again_is_told_as_rejected() {
    let file = File::new();
    let store = file.open().await;
    file.run(
        "CREATE TRIGGER rejecting BEFORE UPDATE ON idempotency_records WHEN length(NEW.response_body) > 100 \
         BEGIN SELECT RAISE(ABORT, 'too much'); END",
    )
    .await;
    let lease = reserve(&store, "key").await;
    let rejected = store.complete(&lease, &outcome(101), RETENTION).await.unwrap_err();
    assert_eq!(rejected.kind(), StoreErrorKind::Rejected);
    let without_body = Outcome::new(StatusCode::CREATED, StoredBody::Omitted);
    assert_eq!(
        store.complete(&lease, &without_body, RETENTION).await.unwrap(),
        Settlement::Applied
    );
}
