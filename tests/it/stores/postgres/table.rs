//! The table of the PostgreSQL store: how it comes to be there, what is swept from it, and what
//! cannot be read in it.

use std::error::Error;
use std::time::Duration;

use http::StatusCode;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, PgPool};
use tower_idempotency::PostgresStore;
use tower_idempotency::store::{
    Identifier, Lease, Outcome, Reservation, Settlement, Store, StoreErrorKind, StoredBody,
};

use crate::support::patiently;
use crate::support::postgres::{PostgresServer, acquired, outcome, request};

async fn run(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap();
}

fn name(name: &str) -> Identifier {
    Identifier::new(name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_processes_may_migrate_at_once_and_again() {
    let server = PostgresServer::start();
    for _ in 0..2 {
        let migrate = |_| {
            let store = server.store().schema(name("Shop")).table(name("records"));
            tokio::spawn(async move { store.migrate().await })
        };
        for migrated in (0..10).map(migrate).collect::<Vec<_>>() {
            migrated.await.unwrap().unwrap();
        }
    }
    server.store().schema(name("Shop")).table(name("records")).ping().await.unwrap();
}

/// Everything that the catalogue says of a table, with its name left out.
pub(super) async fn description(pool: &PgPool, table: &str) -> Vec<String> {
    let description = "SELECT format('%s %s %s %s', a.attname, a.atttypid::regtype, a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
          FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
          WHERE a.attrelid = $1::regclass AND a.attnum > 0
        UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = $1::regclass
        UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = $1::regclass
        UNION ALL SELECT obj_description($1::regclass, 'pg_class')";
    let lines: Vec<String> =
        sqlx::query_scalar(description).bind(table).fetch_all(pool).await.unwrap();
    assert!(lines.len() > 15, "{lines:?}");
    lines.into_iter().map(|line| line.replace(table, "TABLE")).collect()
}

#[tokio::test]
async fn a_migration_run_by_hand_makes_the_same_table() {
    let server = PostgresServer::start();
    let pool = server.pool();
    server.store().table(name("migrated")).migrate().await.unwrap();
    let by_hand = server.store().table(name("by_hand"));
    for _ in 0..2 {
        run(&pool, &by_hand.migration()).await;
        assert_eq!(description(&pool, "migrated").await, description(&pool, "by_hand").await);
    }
    by_hand.migrate().await.unwrap();
}

#[tokio::test]
async fn a_user_who_may_not_create_tables_succeeds_if_the_table_exists() {
    let server = PostgresServer::start();
    let pool = server.pool();
    run(&pool, "CREATE ROLE clerk LOGIN; CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO clerk")
        .await;
    let clerk = PgPool::connect_lazy(&server.url().replace("postgres@", "clerk@")).unwrap();
    let clerk = PostgresStore::new(clerk).schema(name("shop"));
    let rejected = clerk.migrate().await.unwrap_err();
    assert_eq!(rejected.kind(), StoreErrorKind::Configuration);

    server.store().schema(name("shop")).migrate().await.unwrap();
    run(&pool, "GRANT SELECT, INSERT, UPDATE, DELETE ON shop.idempotency_records TO clerk").await;
    clerk.migrate().await.unwrap();
    let lease = acquired(clerk.reserve(&request("key")).await.unwrap());
    assert_eq!(clerk.release(&lease).await.unwrap(), Settlement::Applied);
    clerk.sweep(10).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn four_privileges_suffice_in_both_modes() {
    let server = PostgresServer::start_migrated();
    let pool = server.pool();
    let grant = "CREATE ROLE clerk LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_records TO clerk";
    run(&pool, grant).await;
    let clerk = PgPool::connect_lazy(&server.url().replace("postgres@", "clerk@")).unwrap();
    let store = PostgresStore::new(clerk);
    store.migrate().await.unwrap();
    store.ping().await.unwrap();
    let (request, retention) = (request("key"), Duration::from_mins(1));
    let first = acquired(store.reserve(&request).await.unwrap());
    assert_eq!(store.renew(&first).await.unwrap(), Settlement::Applied);
    assert_eq!(store.fail(&first, None, retention).await.unwrap(), Settlement::Applied);
    let second = acquired(store.reserve(&request).await.unwrap());
    assert_eq!(store.release(&second).await.unwrap(), Settlement::Applied);
    let in_transaction = store.clone().in_transaction();
    for end in 0..3 {
        let lease = acquired(in_transaction.reserve(&request).await.unwrap());
        let ended = match end {
            0 => in_transaction.fail(&lease, None, retention).await,
            1 => in_transaction.release(&lease).await,
            _ => in_transaction.complete(&lease, &outcome(201, 10), retention).await,
        };
        assert_eq!(ended.unwrap(), Settlement::Applied);
    }
    assert!(store.inspect(&request.key).await.unwrap().is_some());
    store.sweep(10).await.unwrap();
}

/// How many milliseconds are left of a record, and when it ends.
async fn left_of(pool: &PgPool) -> (i64, String) {
    let left = "SELECT (extract(epoch FROM expires_at - clock_timestamp()) * 1000)::bigint, expires_at::text
                FROM idempotency_records";
    sqlx::query_as(left).fetch_one(pool).await.unwrap()
}

const HOUR: Duration = Duration::from_hours(1);

/// A record whose retention is an hour.
async fn reserved_for_an_hour() -> (PostgresServer, PgPool, PostgresStore, Lease) {
    let server = PostgresServer::start_migrated();
    let pool = server.pool();
    let store = PostgresStore::new(pool.clone());
    let request = request("key").retention(HOUR);
    let lease = acquired(store.reserve(&request).await.unwrap());
    (server, pool, store, lease)
}

#[tokio::test]
async fn a_renewal_and_a_completion_leave_the_end_of_the_retention_where_it_is_late_enough() {
    let (_server, pool, store, lease) = reserved_for_an_hour().await;
    let (_, reserved) = left_of(&pool).await;
    let _ = store.renew(&lease).await.unwrap();
    assert_eq!(left_of(&pool).await.1, reserved);
    let _ = store.complete(&lease, &outcome(201, 200), HOUR).await.unwrap();
    let (left, completed) = left_of(&pool).await;
    assert_eq!(completed, reserved);
    assert!((3_600_000..=3_657_600).contains(&left), "{left}");
}

#[tokio::test]
async fn a_completion_with_another_retention_moves_the_end_to_it() {
    let server = PostgresServer::start_migrated();
    let pool = server.pool();
    let store = PostgresStore::new(pool.clone());
    let request = request("key").retention(Duration::from_hours(1));
    for minutes in [1, 58, 59, 120] {
        let lease = acquired(store.reserve(&request).await.unwrap());
        let retention = Duration::from_mins(minutes);
        let _ = store.complete(&lease, &outcome(201, 200), retention).await.unwrap();
        let (left, _) = left_of(&pool).await;
        let wanted = i64::try_from(retention.as_millis()).unwrap();
        assert!(
            (wanted - 20_000..=wanted + wanted * 16 / 1000).contains(&left),
            "{minutes} min: {left}"
        );
        run(&pool, "DELETE FROM idempotency_records").await;
    }
}

#[tokio::test]
async fn a_retention_that_has_half_passed_begins_anew_with_a_renewal_or_a_completion() {
    let (_server, pool, store, lease) = reserved_for_an_hour().await;
    let pass = "UPDATE idempotency_records SET expires_at = clock_timestamp() + interval '30 min'";
    for ends in [false, true] {
        run(&pool, pass).await;
        if ends {
            let _ = store.complete(&lease, &outcome(201, 200), HOUR).await.unwrap();
        } else {
            let _ = store.renew(&lease).await.unwrap();
        }
        let (left, _) = left_of(&pool).await;
        assert!((3_580_000..=3_657_600).contains(&left), "{left}");
    }
}

#[tokio::test]
async fn a_table_of_another_version_or_of_another_program_is_left_as_it_is() {
    let server = PostgresServer::start_migrated();
    let pool = server.pool();
    run(&pool, "CREATE TABLE customers (id bigint)").await;
    let says = |error: &tower_idempotency::store::StoreError| error.to_string();
    let table = "idempotency_records";
    for version in [1, 4] {
        run(&pool, &format!("COMMENT ON TABLE {table} IS 'tower-idempotency {version}'")).await;
        let before = description(&pool, table).await;
        let other = server.store().migrate().await.unwrap_err();
        assert_eq!(description(&pool, table).await, before);
        assert!(
            says(&other).contains(&format!("that of \"tower-idempotency {version}\"")),
            "{other:?}"
        );
        assert!(says(&other).contains("drop it, or use another table"), "{other:?}");
        assert_eq!(other.kind(), StoreErrorKind::Configuration);
    }
    let foreign = server.store().table(name("customers")).migrate().await.unwrap_err();
    assert!(says(&foreign).contains("there is a table of that name"), "{foreign:?}");
    assert_eq!(foreign.kind(), StoreErrorKind::Configuration);
}

#[tokio::test]
async fn without_its_table_every_operation_says_what_to_do() {
    let server = PostgresServer::start();
    for store in [server.store(), server.store().persistent(false)] {
        let failed = [
            store.reserve(&request("key")).await.map(drop).unwrap_err(),
            store.inspect(&request("key").key).await.map(drop).unwrap_err(),
            store.ping().await.unwrap_err(),
            store.sweep(1).await.map(drop).unwrap_err(),
        ];
        for error in failed {
            assert_eq!(error.kind(), StoreErrorKind::Configuration);
            assert!(
                error.to_string().contains("`PostgresStore::migrate` has not been run"),
                "{error}"
            );
            assert_eq!(error.source().unwrap().to_string(), "SQLSTATE 42P01");
        }
        store.migrate().await.unwrap();
        acquired(store.reserve(&request("key")).await.unwrap());
        run(&server.pool(), "DROP TABLE idempotency_records CASCADE").await;
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_an_error_and_stays() {
    let server = PostgresServer::start_migrated();
    let pool = server.pool();
    let success = request("success");
    let (prepared, text) = (server.store(), server.store().persistent(false));
    let lease = acquired(prepared.reserve(&success).await.unwrap());
    let completed = prepared.complete(&lease, &outcome(201, 10), Duration::from_mins(1)).await;
    assert_eq!(completed.unwrap(), Settlement::Applied);
    let damages = [
        "fingerprint = 'short'",
        "token = 'short'",
        "attempt = -1",
        "attempt = 5000000000",
        "response_status = NULL",
        "response_status = 70000",
        "response_status = 20",
        "response_headers = 'no colon'",
        "response_headers = E'bad name: x\\n'",
        "response_trailers = 'no colon'",
        "response_request_id = E'two\\nlines'",
        "response_request_id = '\u{20ac}'",
        "response_body = NULL",
        "response_missing = 'too large'",
        "response_body = NULL, response_missing = 'an unknown word'",
        "status = 'pending', lease_until = clock_timestamp()",
    ];
    run(&pool, "CREATE TABLE whole AS SELECT * FROM idempotency_records").await;
    for damage in damages {
        run(&pool, &format!("UPDATE idempotency_records SET {damage}")).await;
        let row = "SELECT r::text FROM idempotency_records AS r";
        let before: String = sqlx::query_scalar(row).fetch_one(&pool).await.unwrap();
        let careful = success.clone().retry_abandoned(false);
        for store in [&prepared, &text] {
            let error = store.reserve(&careful).await.map(drop).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{damage}");
            let error = store.inspect(&success.key).await.map(drop).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{damage}");
        }
        let after: String = sqlx::query_scalar(row).fetch_one(&pool).await.unwrap();
        assert_eq!(before, after, "it is left for inspection");
        run(
            &pool,
            "DELETE FROM idempotency_records; INSERT INTO idempotency_records SELECT * FROM whole",
        )
        .await;
        assert!(
            prepared.inspect(&success.key).await.unwrap().is_some(),
            "without the damage it can be read"
        );
    }
}

#[tokio::test]
async fn what_the_server_would_reject_again_is_told_as_rejected() {
    let server = PostgresServer::start_migrated();
    // Class 23, 22 and 54: a constraint, data that cannot be stored, a limit of the program.
    let rejecting = "
        ALTER TABLE idempotency_records ADD CHECK (octet_length(response_body) <> 23);
        CREATE FUNCTION reject() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF octet_length(NEW.response_body) = 22 THEN RAISE SQLSTATE '22P05'; END IF;
            IF octet_length(NEW.response_body) = 54 THEN RAISE SQLSTATE '54000'; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER reject BEFORE UPDATE ON idempotency_records FOR EACH ROW EXECUTE FUNCTION reject()";
    run(&server.pool(), rejecting).await;
    for store in [server.store(), server.store().persistent(false)] {
        for bytes in [22, 23, 54] {
            let lease = acquired(store.reserve(&request("key")).await.unwrap());
            let rejected =
                store.complete(&lease, &outcome(201, bytes), Duration::from_mins(1)).await;
            assert_eq!(rejected.unwrap_err().kind(), StoreErrorKind::Rejected, "{bytes}");
            let rejected =
                store.fail(&lease, Some(&outcome(500, bytes)), Duration::from_mins(1)).await;
            assert_eq!(rejected.unwrap_err().kind(), StoreErrorKind::Rejected, "{bytes}");
            let without_body = Outcome::new(StatusCode::CREATED, StoredBody::Omitted);
            let completed = store.complete(&lease, &without_body, Duration::from_mins(1)).await;
            assert_eq!(completed.unwrap(), Settlement::Applied);
            run(&server.pool(), "DELETE FROM idempotency_records").await;
        }
    }
}

/// Puts in `expired` records that are over, and `live` ones.
async fn fill(store: &PostgresStore, expired: usize, live: usize) {
    for number in 0..expired {
        let brief = Duration::from_nanos(1);
        let request = request(&format!("expired-{number}"));
        acquired(store.reserve(&request.lease(brief).retention(brief)).await.unwrap());
    }
    for number in 0..live {
        acquired(store.reserve(&request(&format!("live-{number}"))).await.unwrap());
    }
    // Longer than the retention that was rounded up to a millisecond.
    tokio::time::sleep(Duration::from_millis(2)).await;
}

async fn left(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM idempotency_records").fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn a_sweep_deletes_a_batch_of_what_is_expired_and_nothing_else() {
    let server = PostgresServer::start_migrated();
    let pool = server.pool();
    let store = PostgresStore::new(pool.clone());
    fill(&store, 25, 5).await;
    for (swept, remain) in [(10, 20), (10, 10), (5, 5), (0, 5)] {
        assert_eq!(store.sweep(10).await.unwrap(), swept);
        assert_eq!(left(&pool).await, remain);
    }
    for number in 0..5 {
        assert!(store.inspect(&request(&format!("live-{number}")).key).await.unwrap().is_some());
    }
}

/// Puts in records that are over, `at_once` of them at a time.
async fn pile(pool: &PgPool, expired: u32, at_once: u32) {
    let pile = "INSERT INTO idempotency_records (key, status, attempt, token, fingerprint, expires_at)
        SELECT decode(md5(n::text), 'hex'), 'failed', 1, '', '', now() - interval '1 day' + n / $2 * interval '1 ms'
        FROM generate_series(1, $1) AS n";
    let pile = sqlx::query(pile).bind(i64::from(expired)).bind(i64::from(at_once));
    pile.execute(pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweeper_deletes_all_that_expired_at_the_same_time() {
    let server = PostgresServer::start_migrated();
    let pool = server.pool();
    pile(&pool, 2_100, 1_200).await;
    let sweeper =
        tokio::spawn(PostgresStore::new(pool.clone()).sweep_every(Duration::from_hours(1)));
    patiently(async { while left(&pool).await != 0 {} }).await;
    sweeper.abort();
}

/// How many index entries are read to sweep 5,000 records while a snapshot is open, at once or
/// batch by batch.
async fn entries_read(by_batches: bool) -> i64 {
    let server = PostgresServer::start_migrated();
    let pool = server.pool();
    pile(&pool, 5_000, 10).await;
    run(&pool, "ANALYZE idempotency_records").await;
    let mut snapshot = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    sqlx::raw_sql("SELECT FROM idempotency_records").execute(&mut *snapshot).await.unwrap();
    let options = server.url().parse::<PgConnectOptions>().unwrap().application_name("sweeper");
    let sweeping = PgPool::connect_with(options).await.unwrap();
    let store = PostgresStore::new(sweeping.clone());
    if by_batches {
        while store.sweep(500).await.unwrap() > 0 {}
    } else {
        let sweeper = tokio::spawn(store.sweep_every(Duration::from_hours(1)));
        patiently(async { while left(&pool).await != 0 {} }).await;
        sweeper.abort();
    }
    // A connection reports what it has read before it is gone.
    sweeping.close().await;
    let sweepers = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sweeper'";
    patiently(async {
        while sqlx::query_scalar::<_, i64>(sweepers).fetch_one(&pool).await.unwrap() > 0 {}
    })
    .await;
    let read = "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'idempotency_records_expires_at'";
    sqlx::query_scalar(read).fetch_one(&pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweeper_reads_nothing_again_that_an_open_snapshot_holds() {
    let (anew, carried) = (entries_read(true).await, entries_read(false).await);
    assert!(anew > 20_000 && carried < 11_000, "{anew} {carried}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sweepers_take_different_records_and_none_waits_for_the_other() {
    let server = PostgresServer::start_migrated();
    let pool = server.pool();
    let store = PostgresStore::new(pool.clone());
    fill(&store, 20, 0).await;
    // Another sweeper in the middle of its batch.
    let mut other = pool.begin().await.unwrap();
    let held = "SELECT key FROM idempotency_records ORDER BY expires_at LIMIT 8 FOR UPDATE";
    sqlx::raw_sql(held).execute(&mut *other).await.unwrap();
    assert_eq!(patiently(store.sweep(100)).await.unwrap(), 12);
    other.rollback().await.unwrap();
    assert_eq!(store.sweep(100).await.unwrap(), 8);

    fill(&store, 200, 0).await;
    let sweep = || {
        let store = store.clone();
        tokio::spawn(async move { store.sweep(100).await.unwrap() })
    };
    let (one, another) = (sweep(), sweep());
    assert_eq!((one.await.unwrap(), another.await.unwrap()), (100, 100));
    assert_eq!(left(&pool).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweeper_goes_on_after_an_error_and_ends_with_the_pool() {
    let server = PostgresServer::start();
    let pool = server.pool();
    let store = PostgresStore::new(server.pool());
    // There is no table yet.
    let sweeper = tokio::spawn(store.sweep_every(Duration::from_millis(20)));
    let beside = PostgresStore::new(pool.clone());
    beside.migrate().await.unwrap();
    fill(&beside, 3, 1).await;
    patiently(async { while left(&pool).await != 1 {} }).await;
    assert!(!sweeper.is_finished());
    drop(store);
    sweeper.abort();

    let closing = server.pool();
    let sweeper =
        tokio::spawn(PostgresStore::new(closing.clone()).sweep_every(Duration::from_millis(1)));
    closing.close().await;
    patiently(sweeper).await.unwrap();
}

/// The advisory locks belong to the table, whose number the store remembers.
#[tokio::test]
async fn an_attempt_claims_its_key_in_a_table_that_was_made_anew() {
    let server = PostgresServer::start_migrated();
    let pool = server.pool();
    let store = PostgresStore::new(pool.clone()).in_transaction();
    for key in ["first", "second"] {
        let lease = acquired(store.reserve(&request(key)).await.unwrap());
        assert_eq!(store.release(&lease).await.unwrap(), Settlement::Applied);
    }
    run(&pool, "DROP TABLE idempotency_records CASCADE").await;
    store.migrate().await.unwrap();

    let lease = acquired(store.reserve(&request("key")).await.unwrap());
    let of_another_process = server.store().in_transaction();
    let found = of_another_process.reserve(&request("key")).await.unwrap();
    assert!(matches!(found, Reservation::Found(_)), "the key is in flight");
    let settled = store.complete(&lease, &outcome(201, 10), Duration::from_mins(1)).await.unwrap();
    assert_eq!(settled, Settlement::Applied);
}
