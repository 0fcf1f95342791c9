//! Operators on SQLite: an older file, the index, the view, and changes at the same time.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor, Row};
use tower_idempotency::SqliteStore;
use tower_idempotency::store::operator::{
    AuditEntry, Becomes, Intervened, Intervention, ListFilter, ListRequest, OperatorAction,
    StateFilter,
};
use tower_idempotency::store::{
    RecordLabel, RecordStatus, Settlement, State, Store, StoreErrorKind, Token,
};

use super::given::{File, RETENTION, acquired, key, outcome, request, reserve, writing};
use crate::support::patiently;

/// The table as layout 2 made it, with a record of each status.
const LAYOUT_2: &str = include_str!("layout_2.sql");

async fn of_layout_2() -> File {
    let file = File::new();
    file.connect().await.execute(LAYOUT_2).await.unwrap();
    file
}

async fn failed(store: &SqliteStore, name: &str) {
    let lease = reserve(store, name).await;
    let ended = store.fail(&lease, Some(&outcome(10)), RETENTION).await.unwrap();
    assert_eq!(ended, Settlement::Applied);
}

/// What an operator makes of the record of a key.
async fn change(store: &SqliteStore, name: &str, becomes: Becomes) -> Intervention {
    let seen = store.show(&key(name)).await.unwrap().record.unwrap();
    let (id, reason) = (Token::new([7; 16]), "not at the provider");
    let entry = AuditEntry::new(id, OperatorAction::Release, "J\u{f6}rg", reason, &seen);
    Intervention::new(seen, becomes, entry, RETENTION)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_layout_2_gets_its_columns_and_its_records_are_read() {
    let file = of_layout_2().await;
    let opened: Vec<_> = (0..10).map(|_| tokio::spawn(SqliteStore::open(file.path()))).collect();
    let mut stores = Vec::new();
    for store in opened {
        stores.push(patiently(store).await.unwrap().unwrap());
    }
    let version = file.run("SELECT version FROM idempotency_records_version").await;
    assert_eq!((version.len(), version[0].get::<i64, _>(0)), (1, 3));
    let store = &stores[0];
    let records = store.list(&ListRequest::new(ListFilter::new())).await.unwrap().records;
    let mut statuses: Vec<_> = records.iter().map(|info| info.state.status()).collect();
    statuses.sort_by_key(ToString::to_string);
    assert_eq!(statuses, [RecordStatus::Failed, RecordStatus::Pending, RecordStatus::Success]);
    assert!(records.iter().all(|info| info.label.is_none() && info.scope.is_none()));
    for info in records {
        let found = store.inspect(&info.key).await.unwrap().unwrap();
        assert_eq!((found.token, found.status()), (info.token, info.state.status()));
    }
    let label = Arc::new(RecordLabel::new("payments", "POST /\u{20ac}"));
    acquired(store.reserve(&request("new").label(label.clone())).await.unwrap());
    assert_eq!(store.show(&key("new")).await.unwrap().record.unwrap().label, Some(label));
    assert_eq!(file.run("SELECT * FROM idempotency_records_view").await.len(), 4);
}

#[tokio::test]
async fn a_file_of_layout_2_is_upgraded_after_the_statements_were_run_by_hand() {
    let file = of_layout_2().await;
    let pool = sqlx::SqlitePool::connect_with(file.options()).await.unwrap();
    let store = SqliteStore::with_pool(pool.clone()).operator_index();
    sqlx::raw_sql(AssertSqlSafe(store.migration())).execute(&pool).await.unwrap();
    let error = store.reserve(&request("new")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Configuration, "{error:?}");
    assert!(error.to_string().contains("`SqliteStore::migrate`"), "{error:?}");
    for _ in 0..2 {
        store.migrate().await.unwrap();
    }
    failed(&store, "new").await;
    assert_eq!(store.stats(None).await.unwrap().stats.failed.count, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_equal_changes_at_once_one_is_applied_and_the_other_knows_it() {
    let file = File::new();
    let stores = [file.open().await, file.open().await];
    for becomes in [
        Becomes::Free,
        Becomes::Ended { state: State::Success(outcome(70_000)), retention: RETENTION },
    ] {
        failed(&stores[0], "order").await;
        let change = change(&stores[0], "order", becomes).await;
        let writer = writing(&file).await;
        let both = stores.clone().map(|store| {
            let change = change.clone();
            tokio::spawn(async move { store.intervene(&change).await.unwrap() })
        });
        drop(writer);
        let mut applied = 0;
        for one in both {
            match patiently(one).await.unwrap() {
                Intervened::Applied => applied += 1,
                Intervened::AlreadyApplied => {}
                moved @ Intervened::Moved(_) => panic!("{moved:?}"),
            }
        }
        assert_eq!(applied, 1);
        let history = stores[1].show(&key("order")).await.unwrap().history;
        assert_eq!((history.len(), &*history[0].by), (1, "J\u{f6}rg"));
        file.run("DELETE FROM idempotency_records").await;
        file.run("DELETE FROM idempotency_records_audit").await;
    }
}

#[tokio::test]
async fn a_change_waits_for_a_writer_no_longer_than_the_store_timeout() {
    let file = File::new();
    let store = file.open().await;
    store.set_timeout(Duration::from_millis(200));
    failed(&store, "order").await;
    let change = change(&store, "order", Becomes::Free).await;
    let writer = writing(&file).await;
    let error = patiently(store.intervene(&change)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
    drop(writer);
    assert!(matches!(store.intervene(&change).await.unwrap(), Intervened::Applied));
}

#[tokio::test]
async fn a_sweeper_deletes_expired_audit_entries() {
    let file = File::new();
    let store = file.open().await;
    file.run(
        "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 1203)
         INSERT INTO idempotency_records_audit (key, at, id, action, by, reason, was, attempt, expires_at)
         SELECT randomblob(32), '2001-01-01 00:00:00.000', randomblob(16), 'erase', 'me', 'because', 'failed', 1,
                CASE WHEN n <= 1200 THEN '2002-01-01 00:00:00.000' ELSE '9999-12-31 23:59:59.999' END
         FROM number",
    )
    .await;
    let sweeper = tokio::spawn(store.sweep_every(Duration::from_hours(1)));
    let entries = "SELECT 1 FROM idempotency_records_audit";
    patiently(async { while file.run(entries).await.len() != 3 {} }).await;
    sweeper.abort();
}

#[tokio::test]
async fn the_index_finds_each_state_that_an_operator_looks_for() {
    let file = File::new();
    let store = file.open().await.operator_index();
    store.migrate().await.unwrap();
    failed(&store, "failed").await;
    let indexes = "SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = 'idempotency_records_operators'";
    assert_eq!(file.run(indexes).await.len(), 1);
    for state in StateFilter::ALL {
        let filter = ListFilter::new().state(state);
        let page = store.list(&ListRequest::new(filter)).await.unwrap();
        let is_failed =
            matches!(state, StateFilter::Failed | StateFilter::InDoubt | StateFilter::Stuck);
        assert_eq!(page.records.len(), usize::from(is_failed), "{state}");
    }
    let plan = "EXPLAIN QUERY PLAN SELECT key FROM idempotency_records
        WHERE expires_at > datetime('now', 'subsec')
          AND (status <> 'success' OR response_missing NOT IN ('omitted', 'packed')) AND (status = 'failed')
          AND (updated_at, key) > ('2001-01-01 00:00:00.000', x'00')
        ORDER BY updated_at, key LIMIT 101";
    let plan: Vec<String> = file.run(plan).await.iter().map(|row| row.get("detail")).collect();
    assert!(plan.join("\n").contains("USING INDEX idempotency_records_operators"), "{plan:?}");
    assert!(!plan.join("\n").contains("TEMP B-TREE"), "{plan:?}");
}

/// A later version knows more actions, and a person may write to the table too.
#[tokio::test]
async fn an_audit_entry_that_cannot_be_read_does_not_hide_the_record() {
    let file = File::new();
    let store = file.open().await;
    failed(&store, "order").await;
    let change = change(&store, "order", Becomes::Free).await;
    let key = change.seen.key.to_hex();
    file.run(&format!(
        "INSERT INTO idempotency_records_audit (key, at, id, action, by, reason, was, attempt, expires_at)
         VALUES (x'{key}', datetime('now', 'subsec'), randomblob(16), 'annotate', 'me', 'because', 'failed', 1,
                 '9999-12-31 23:59:59.999')"
    ))
    .await;
    let shown = store.show(&change.seen.key).await.unwrap();
    assert!(shown.record.is_some() && shown.history.is_empty(), "{shown:?}");
    assert!(matches!(store.intervene(&change).await.unwrap(), Intervened::Applied));
    let history = store.show(&change.seen.key).await.unwrap().history;
    assert_eq!((history.len(), &*history[0].by), (1, "J\u{f6}rg"));
}
