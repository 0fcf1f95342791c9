//! Operators on PostgreSQL: an older table, rights, the index, the view, and changes at the same
//! time.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, PgPool};
use tower_idempotency::PostgresStore;
use tower_idempotency::store::operator::{
    AuditEntry, Becomes, Intervened, Intervention, ListFilter, ListPage, ListRequest,
    OperatorAction, RecordState, StateFilter,
};
use tower_idempotency::store::{
    Identifier, Outcome, RecordLabel, RecordStatus, Settlement, State, Store, StoreErrorKind,
    StoredBody, Token,
};

use super::table::description;
use crate::support::patiently;
use crate::support::postgres::{PostgresServer, acquired, outcome, request};

const RETENTION: Duration = Duration::from_hours(1);
/// The table as layout 2 made it, with a record of each status.
const LAYOUT_2: &str = include_str!("layout_2.sql");

async fn run(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap();
}

async fn number(pool: &PgPool, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(pool).await.unwrap()
}

/// What an operator makes of the record of a key.
async fn change(store: &impl Store, key: &str, becomes: Becomes) -> Intervention {
    let seen = store.show(&request(key).key).await.unwrap().record.unwrap();
    let (id, reason) = (Token::new([7; 16]), "not at the provider");
    let entry = AuditEntry::new(id, OperatorAction::Release, "J\u{f6}rg", reason, &seen);
    Intervention::new(seen, becomes, entry, RETENTION)
}

async fn failed(store: &impl Store, key: &str) {
    let lease = acquired(store.reserve(&request(key)).await.unwrap());
    let ended = store.fail(&lease, Some(&outcome(502, 10)), RETENTION).await.unwrap();
    assert_eq!(ended, Settlement::Applied);
}

async fn list(store: &impl Store, state: StateFilter) -> ListPage {
    store.list(&ListRequest::new(ListFilter::new().state(state))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_layout_2_gets_its_columns_and_its_records_are_read() {
    let server = PostgresServer::start();
    let pool = server.pool();
    run(&pool, LAYOUT_2).await;
    let store = PostgresStore::new(pool.clone());
    for error in [
        store.reserve(&request("new")).await.unwrap_err(),
        store.list(&ListRequest::new(ListFilter::new())).await.unwrap_err(),
        store.check().await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Configuration, "{error:?}");
        assert!(error.to_string().contains("`PostgresStore::migrate`"), "{error:?}");
    }
    let migrate = |_| {
        let store = server.store();
        tokio::spawn(async move { store.migrate().await })
    };
    for migrated in (0..10).map(migrate).collect::<Vec<_>>() {
        migrated.await.unwrap().unwrap();
    }
    server.store().table(Identifier::new("fresh").unwrap()).migrate().await.unwrap();
    let upgraded = description(&pool, "idempotency_records").await;
    assert_eq!(upgraded, description(&pool, "fresh").await);

    let records = store.list(&ListRequest::new(ListFilter::new())).await.unwrap().records;
    let mut statuses: Vec<_> = records.iter().map(|info| info.state.status()).collect();
    statuses.sort_by_key(ToString::to_string);
    assert_eq!(statuses, [RecordStatus::Failed, RecordStatus::Pending, RecordStatus::Success]);
    assert!(records.iter().all(|info| info.label.is_none() && info.scope.is_none()));
    for info in records {
        let found = store.inspect(&info.key).await.unwrap().unwrap();
        assert_eq!((found.token, found.status()), (info.token, info.state.status()));
    }
    let label = Arc::new(RecordLabel::new("payments", "POST /payments"));
    acquired(store.reserve(&request("new").label(label.clone())).await.unwrap());
    let new = store.show(&request("new").key).await.unwrap().record.unwrap();
    assert_eq!(new.label, Some(label));
}

#[tokio::test]
async fn an_upgrade_by_hand_makes_the_same_table() {
    let server = PostgresServer::start();
    let pool = server.pool();
    run(&pool, LAYOUT_2).await;
    let store = PostgresStore::new(pool.clone()).operator_index();
    for _ in 0..2 {
        run(&pool, &store.migration()).await;
    }
    let fresh = Identifier::new("fresh").unwrap();
    server.store().table(fresh).operator_index().migrate().await.unwrap();
    let upgraded = description(&pool, "idempotency_records").await;
    assert_eq!(upgraded, description(&pool, "fresh").await);
    store.migrate().await.unwrap();
}

/// Two wait for the record, and find what the first one of them has left.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_equal_changes_at_once_one_is_applied_and_the_other_knows_it() {
    for settings in [&[][..], &["default_transaction_isolation=serializable"]] {
        for is_prepared in [true, false] {
            let server = PostgresServer::start_with(settings);
            let pool = server.pool();
            let store = PostgresStore::new(pool.clone()).persistent(is_prepared);
            store.migrate().await.unwrap();
            for becomes in [
                Becomes::Free,
                Becomes::Ended {
                    state: State::Success(outcome(201, 70_000)),
                    retention: RETENTION,
                },
            ] {
                failed(&store, "order").await;
                let change = change(&store, "order", becomes).await;
                let mut other = pool.begin().await.unwrap();
                let held = "SELECT FROM idempotency_records FOR UPDATE";
                sqlx::raw_sql(held).execute(&mut *other).await.unwrap();
                let both = [0, 1].map(|_| {
                    let (store, change) = (store.clone(), change.clone());
                    tokio::spawn(async move { store.intervene(&change).await.unwrap() })
                });
                waiting(&server, 2).await;
                other.rollback().await.unwrap();
                let mut applied = 0;
                for one in both {
                    match patiently(one).await.unwrap() {
                        Intervened::Applied => applied += 1,
                        Intervened::AlreadyApplied => {}
                        moved @ Intervened::Moved(_) => panic!("{moved:?}"),
                    }
                }
                assert_eq!(applied, 1);
                let history = store.show(&request("order").key).await.unwrap().history;
                assert_eq!(history.len(), 1);
                assert_eq!(history[0].by, "J\u{f6}rg");
                run(
                    &pool,
                    "DELETE FROM idempotency_records; DELETE FROM idempotency_records_audit",
                )
                .await;
            }
        }
    }
}

async fn waiting(server: &PostgresServer, number: i64) {
    let pool = server.pool();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    patiently(async { while self::number(&pool, waiting).await != number {} }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_changes_while_a_change_waits_for_it_is_left_alone() {
    let server = PostgresServer::start_migrated();
    let (pool, store) = (server.pool(), server.store());
    failed(&store, "order").await;
    let change = change(&store, "order", Becomes::Free).await;
    let mut other = pool.begin().await.unwrap();
    let taken_over = "UPDATE idempotency_records SET status = 'pending', attempt = 2, token = decode(repeat('aa', 16), 'hex'), \
                      lease_until = now() + interval '1 min', response_status = NULL";
    sqlx::raw_sql(taken_over).execute(&mut *other).await.unwrap();
    let intervening = tokio::spawn(async move { store.intervene(&change).await.unwrap() });
    waiting(&server, 1).await;
    other.commit().await.unwrap();
    let Intervened::Moved(Some(now)) = patiently(intervening).await.unwrap() else {
        panic!("it has moved on")
    };
    assert_eq!((now.attempt, now.state), (2, RecordState::InFlight));
    assert_eq!(number(&pool, "SELECT count(*) FROM idempotency_records_audit").await, 0);
}

/// The record of an attempt whose response came late is there again, as it was seen.
#[tokio::test]
async fn a_record_that_came_back_is_changed_a_second_time() {
    let server = PostgresServer::start_migrated();
    let store = server.store();
    let lease = acquired(store.reserve(&request("order")).await.unwrap());
    let _ = store.fail(&lease, None, RETENTION).await.unwrap();
    let change = change(&store, "order", Becomes::Free).await;
    assert!(matches!(store.intervene(&change).await.unwrap(), Intervened::Applied));
    // The reply to the first one was lost, so it was sent again.
    assert_eq!(store.fail(&lease, None, RETENTION).await.unwrap(), Settlement::Applied);
    assert!(matches!(store.intervene(&change).await.unwrap(), Intervened::Applied));
    let shown = store.show(&request("order").key).await.unwrap();
    assert!(shown.record.is_none());
    assert_eq!(shown.history.len(), 2);
}

#[tokio::test]
async fn an_operator_needs_rights_on_the_audit_and_the_service_does_not() {
    let server = PostgresServer::start_migrated();
    let pool = server.pool();
    run(&pool, "CREATE ROLE clerk LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_records TO clerk")
        .await;
    let options = server.url().parse::<PgConnectOptions>().unwrap().username("clerk");
    let clerk = PostgresStore::new(PgPool::connect_lazy_with(options));
    failed(&clerk, "order").await;
    let change = change(&server.store(), "order", Becomes::Free).await;
    let grant = "GRANT SELECT, INSERT ON \"idempotency_records_audit\" TO \"clerk\"";
    for error in [
        clerk.intervene(&change).await.unwrap_err(),
        clerk.show(&change.seen.key).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Configuration, "{error:?}");
        assert!(error.to_string().contains(grant), "{error:?}");
    }
    assert!(clerk.inspect(&change.seen.key).await.unwrap().is_some(), "nothing was changed");
    run(&pool, "GRANT SELECT, INSERT ON idempotency_records_audit TO clerk").await;
    assert!(matches!(clerk.intervene(&change).await.unwrap(), Intervened::Applied));

    run(&pool, "DROP TABLE idempotency_records_audit").await;
    failed(&clerk, "order").await;
    let error = clerk.intervene(&change).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Configuration, "{error:?}");
    assert!(error.to_string().contains("`PostgresStore::migrate`"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweeper_deletes_expired_audit_entries_if_it_may() {
    let server = PostgresServer::start_migrated();
    let pool = server.pool();
    let entries = "INSERT INTO idempotency_records_audit (key, id, action, by, reason, was, attempt, expires_at)
        SELECT sha256(int8send(n)), '\\x07', 'erase', 'me', 'because', 'failed', 1,
               now() + CASE WHEN n <= 1200 THEN interval '-1 min' ELSE interval '1 hour' END
        FROM generate_series(1, 1203) AS n";
    run(&pool, entries).await;
    run(&pool, "CREATE ROLE clerk LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_records TO clerk")
        .await;
    let count = "SELECT count(*) FROM idempotency_records_audit";
    for (grant, left) in
        [("", 1203), ("GRANT SELECT, DELETE ON idempotency_records_audit TO clerk", 3)]
    {
        if !grant.is_empty() {
            run(&pool, grant).await;
        }
        let expired =
            "INSERT INTO idempotency_records (key, status, attempt, token, fingerprint, expires_at)
                       VALUES ('', 'failed', 1, '', '', now())";
        run(&pool, expired).await;
        let options = server.url().parse::<PgConnectOptions>().unwrap().username("clerk");
        let clerk = PgPool::connect_lazy_with(options);
        let sweeper = tokio::spawn(PostgresStore::new(clerk).sweep_every(RETENTION));
        let swept = "SELECT count(*) FROM idempotency_records";
        patiently(async { while number(&pool, swept).await > 0 {} }).await;
        patiently(async { while number(&pool, count).await != left {} }).await;
        sweeper.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_finds_each_state_that_an_operator_looks_for() {
    let server = PostgresServer::start_migrated();
    let pool = server.pool();
    let fill = "INSERT INTO idempotency_records (key, status, attempt, token, fingerprint, lease_until, expires_at, updated_at, response_status, response_headers, response_body)
        SELECT sha256(int8send(n)), CASE n % 1000 WHEN 0 THEN 'failed' ELSE 'success' END, 1,
               substr(sha256(int8send(n)), 1, 16), decode(repeat('01', 33), 'hex'), NULL,
               now() + interval '1 day', now() - n * interval '1 s', 201, '', ''
        FROM generate_series(1, 20000) AS n; ANALYZE idempotency_records";
    run(&pool, fill).await;
    let migrate = |_| {
        let store = server.store().operator_index();
        tokio::spawn(async move { store.migrate().await })
    };
    for migrated in (0..5).map(migrate).collect::<Vec<_>>() {
        migrated.await.unwrap().unwrap();
    }
    let states: Vec<_> =
        StateFilter::ALL.into_iter().filter(|state| *state != StateFilter::Success).collect();
    let own = PgPool::connect(&server.url()).await.unwrap();
    let store = PostgresStore::new(own.clone());
    for state in &states {
        let page = list(&store, *state).await;
        let is_failed =
            matches!(state, StateFilter::Failed | StateFilter::InDoubt | StateFilter::Stuck);
        assert_eq!(page.records.len(), if is_failed { 20 } else { 0 }, "{state}");
    }
    own.close().await;
    let scans = "SELECT coalesce(sum(idx_scan), 0)::bigint FROM pg_stat_user_indexes WHERE indexrelname = 'idempotency_records_operators'";
    let expected = i64::try_from(states.len()).unwrap();
    patiently(async { while number(&pool, scans).await != expected {} }).await;

    run(&pool, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idempotency_records_operators'::regclass")
        .await;
    server.store().migrate().await.unwrap();
    let error = server.store().operator_index().migrate().await.unwrap_err();
    assert!(
        error.to_string().contains("\"idempotency_records_operators\" is not valid"),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_view_shows_what_operators_see() {
    let server = PostgresServer::start_migrated();
    let (pool, store) = (server.pool(), server.store());
    let label = Arc::new(RecordLabel::new("payments", "POST /caf\u{e9}"));
    acquired(store.reserve(&request("running").label(label)).await.unwrap());
    let brief = request("cut-off").lease(Duration::from_millis(1));
    acquired(store.reserve(&brief).await.unwrap());
    failed(&store, "failed").await;
    for (key, body) in [
        ("paid", StoredBody::Whole { bytes: "paid".into(), trailers: None }),
        ("large", StoredBody::NotRetained(tower_idempotency::store::NotRetained::TooLarge)),
    ] {
        let lease = acquired(store.reserve(&request(key)).await.unwrap());
        let outcome = Outcome::new(http::StatusCode::CREATED, body);
        let _ = store.complete(&lease, &outcome, RETENTION).await.unwrap();
    }
    let abandoned =
        async { while list(&store, StateFilter::Abandoned).await.records.is_empty() {} };
    patiently(abandoned).await;
    let view = "SELECT format('%s %s %s %s', state, in_doubt, route, response_bytes) FROM idempotency_records_view ORDER BY state";
    let lines: Vec<String> = sqlx::query_scalar(view).fetch_all(&pool).await.unwrap();
    assert_eq!(
        lines,
        [
            "abandoned t  ",
            "failed t  10",
            "in-flight f POST /caf\\u{e9} ",
            "not-retained f  ",
            "success f  4"
        ]
    );
    for info in store.list(&ListRequest::new(ListFilter::new())).await.unwrap().records {
        let key = format!(
            "SELECT count(*) FROM idempotency_records_view WHERE key = '{}' AND state = '{}'",
            info.key.to_hex(),
            info.state.word()
        );
        assert_eq!(number(&pool, &key).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_beyond_the_encoding_of_the_database_is_stored_and_found() {
    let server = PostgresServer::start_with_templates();
    let create =
        "CREATE DATABASE western ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'";
    run(&server.pool(), create).await;
    let options = server.url().parse::<PgConnectOptions>().unwrap().database("western");
    for (is_prepared, name) in [(true, "prepared"), (false, "plain")] {
        let pool = PgPool::connect_lazy_with(options.clone());
        let store = PostgresStore::new(pool).table(Identifier::new(name).unwrap());
        let store = if is_prepared { store } else { store.persistent(false) };
        store.migrate().await.unwrap();
        let label =
            Arc::new(RecordLabel::new("\u{43a}\u{430}\u{441}\u{441}\u{430}", "POST /\u{20ac}\\d"));
        acquired(store.reserve(&request("key").label(label.clone())).await.unwrap());
        let filter =
            ListFilter::new().route(label.route.clone()).namespace(label.namespace.clone());
        let page = store.list(&ListRequest::new(filter)).await.unwrap();
        assert_eq!(page.records.len(), 1);
        assert_eq!(page.records[0].label.as_deref(), Some(&*label));
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_does_not_hide_the_others() {
    let server = PostgresServer::start_migrated();
    let (pool, store) = (server.pool(), server.store());
    for key in ["one", "damaged", "other"] {
        failed(&store, key).await;
    }
    let digits = request("damaged").key.to_hex();
    run(
        &pool,
        &format!("UPDATE idempotency_records SET token = '' WHERE key = decode('{digits}', 'hex')"),
    )
    .await;
    assert_eq!(list(&store, StateFilter::Failed).await.records.len(), 2);
    let error = store.show(&request("damaged").key).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
}

#[tokio::test]
async fn a_server_that_takes_no_writes_shows_what_is_there() {
    let server = PostgresServer::start_migrated();
    failed(&server.store(), "order").await;
    run(&server.pool(), "ALTER ROLE postgres SET default_transaction_read_only = on").await;
    let store = server.store();
    assert_eq!(list(&store, StateFilter::Stuck).await.records.len(), 1);
    assert_eq!(store.stats(None).await.unwrap().stats.failed.count, 1);
    let change = change(&store, "order", Becomes::Free).await;
    assert!(change.seen.changed_ago.is_some());
    assert_eq!(store.intervene(&change).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
}

/// A later version knows more actions, and a person may write to the table too.
#[tokio::test]
async fn an_audit_entry_that_cannot_be_read_does_not_hide_the_record() {
    let server = PostgresServer::start_migrated();
    let (pool, store) = (server.pool(), server.store());
    failed(&store, "order").await;
    let change = change(&store, "order", Becomes::Free).await;
    let key = change.seen.key.to_hex();
    for (id, action, attempt) in [("aa", "annotate", 1), ("bb", "release", -1)] {
        run(
            &pool,
            &format!(
                "INSERT INTO idempotency_records_audit (key, id, action, by, reason, was, attempt, expires_at)
                 VALUES ('\\x{key}', decode(repeat('{id}', 16), 'hex'), '{action}', 'me', 'because', 'failed',
                         {attempt}, 'infinity')"
            ),
        )
        .await;
    }
    let shown = store.show(&change.seen.key).await.unwrap();
    assert!(shown.record.is_some() && shown.history.is_empty(), "{shown:?}");
    assert!(matches!(store.intervene(&change).await.unwrap(), Intervened::Applied));
    let history = store.show(&change.seen.key).await.unwrap().history;
    assert_eq!((history.len(), &*history[0].by), (1, "J\u{f6}rg"));
}

#[tokio::test]
async fn a_record_that_a_person_lets_stay_for_ever_does_not_hide_the_others() {
    let server = PostgresServer::start_migrated();
    let (pool, store) = (server.pool(), server.store());
    failed(&store, "order").await;
    failed(&store, "other").await;
    run(&pool, "UPDATE idempotency_records SET expires_at = 'infinity' WHERE key = (SELECT key FROM idempotency_records ORDER BY key LIMIT 1)").await;
    let forever = "SELECT count(*) FROM idempotency_records WHERE expires_at = 'infinity'";
    assert_eq!(number(&pool, forever).await, 1);
    assert_eq!(list(&store, StateFilter::Failed).await.records.len(), 2);
    let in_view = "SELECT count(expires_in) FROM idempotency_records_view";
    assert_eq!(number(&pool, in_view).await, 2);
}
