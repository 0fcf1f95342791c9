//! `check`: what is wrong with a store is said before the first request.

use sqlx::postgres::PgPoolOptions;
use tower_idempotency::operate::{CheckResult, Checklist};
use tower_idempotency::store::{DynStore, StoreError, StoreErrorKind};
use tower_idempotency::{IdempotencyLayer, PostgresStore, RedisStore, SqliteStore};

use crate::support::databases::{Base, Lite, Pg};
use crate::support::given::{Kind, over_every_store};
use crate::support::postgres::{PostgresServer, free_port};
use crate::support::redis::RedisServer;

fn result(checklist: &Checklist, name: &str) -> CheckResult {
    let item = checklist.iter().find(|item| item.name == name);
    item.unwrap_or_else(|| panic!("{name} is in the checklist:\n{checklist}")).result
}

async fn a_sound_store_passes_and_its_server_is_looked_at(kind: Kind) {
    let given = kind.start().await;
    let checklist = given.layer().await.check().await.unwrap();
    let found = |name| checklist.iter().find(|item| item.name == name).map(|item| item.result);
    let is_memory = matches!(kind, Kind::Memory);
    let passed = Some(CheckResult::Passed);
    let unseen = (!is_memory).then_some(CheckResult::Unseen);
    let of_server = [
        ("operations", passed),
        ("server", passed.filter(|_| !is_memory)),
        ("clock", passed.filter(|_| !is_memory)),
        // The servers of these tests do not wait for their disk.
        ("durability", durability(kind)),
        // Only Redis evicts records, and only it deletes the expired ones by itself.
        ("eviction", passed.filter(|_| matches!(kind, Kind::Redis))),
        ("sweep", unseen.filter(|_| !matches!(kind, Kind::Redis))),
        // Their settings are the defaults.
        ("dead clients", unseen.filter(|_| !matches!(kind, Kind::Redis) && !is_file(kind))),
        // The servers of these tests are on this machine, and a file has no network.
        ("TLS", passed.filter(|_| !is_memory && !is_file(kind))),
        ("permissions", unseen),
        ("replicas", unseen.filter(|_| !is_file(kind))),
    ];
    for (name, expected) in of_server {
        assert_eq!(found(name), expected, "{name} in:\n{checklist}");
    }
    // A second look finds the same.
    let again = given.layer().await.check().await.unwrap();
    assert_eq!(again.iter().count(), checklist.iter().count());
}

fn durability(kind: Kind) -> Option<CheckResult> {
    match kind {
        Kind::Memory => None,
        Kind::Sqlite | Kind::SqliteInTransaction => Some(CheckResult::Passed),
        _ => Some(CheckResult::Open),
    }
}

fn is_file(kind: Kind) -> bool {
    matches!(kind, Kind::Sqlite | Kind::SqliteInTransaction)
}

#[tokio::test]
async fn what_cannot_be_seen_says_what_to_look_for() {
    for (kind, says) in [
        (Kind::Redis, ["limit the user to the names `~idempotency:*`", "+ping +get +getrange"]),
        (Kind::Postgres, ["grant SELECT, INSERT, UPDATE and DELETE", "synchronous_standby_names"]),
        (Kind::Sqlite, ["no record is left that expired an hour ago", "the file and its folder"]),
    ] {
        let checklist = kind.start().await.layer().await.check().await.unwrap().to_string();
        for part in says {
            assert!(checklist.contains(part), "{checklist}");
        }
    }
    let redis = Kind::Redis.start().await.layer().await.check().await.unwrap().to_string();
    assert!(redis.contains("ok    TLS: off, and the connection stays on this machine"), "{redis}");
}

over_every_store! { a_sound_store_passes_and_its_server_is_looked_at }

/// The error of a check, which must say all of this in one line, and no password.
async fn fails(store: DynStore, kind: StoreErrorKind, says: &[&str]) {
    let error = IdempotencyLayer::new(store).check().await.unwrap_err();
    said(&error, kind, says);
}

fn said(error: &StoreError, kind: StoreErrorKind, says: &[&str]) {
    assert_eq!(error.kind(), kind, "{error:?}");
    let line = error.to_string();
    assert!(says.iter().all(|part| line.contains(part)), "{line}");
    assert!(!line.contains("hunter2") && !format!("{error:?}").contains("hunter2"), "{error:?}");
}

fn redis(url: &str) -> DynStore {
    DynStore::new(RedisStore::open(url).unwrap())
}

#[tokio::test]
async fn a_wrong_url_of_redis_says_what_is_wrong() {
    for (url, says) in [
        ("localhost:6379", "has no scheme: it is like `redis://[user:password@]host"),
        ("postgres://hunter2@127.0.0.1/shop", "the scheme `postgres://` is not one of Redis"),
        ("redis://me:hunter2@host:port", "the port `port` is not a number"),
        ("rediss+unix:///run/redis.sock", "the scheme `rediss+unix://` is not one of Redis"),
        ("redis+cluster://127.0.0.1:7000/3", "a cluster has no database but 0"),
    ] {
        let error = RedisStore::open(url).unwrap_err();
        said(&error, StoreErrorKind::Configuration, &["not set up for the layer", says]);
    }
}

#[tokio::test]
async fn a_redis_that_cannot_be_used_fails_the_check() {
    let closed = format!("127.0.0.1:{}", free_port());
    let nothing = format!("no server listens at {closed}");
    let url = format!("redis://{closed}");
    fails(redis(&url), StoreErrorKind::Unavailable, &["unavailable", &nothing]).await;

    let server = RedisServer::start();
    let url = |user: &str| server.url().replace("redis://", &format!("redis://{user}@"));
    server.tell::<()>("ACL SETUSER reader on >hunter2 ~idempotency:* +@read +ping");
    server.tell::<()>("ACL SETUSER small on >hunter2 ~idempotency:?? +@all");
    let configuration = StoreErrorKind::Configuration;
    fails(redis(&url("reader:wrong")), configuration, &["the user or the password"]).await;
    fails(redis(&url("reader:hunter2")), configuration, &["may not use a command"]).await;
    fails(redis(&url("small:hunter2")), configuration, &["it needs `~idempotency:*`"]).await;
    // A body of its own has another name.
    let names = "?".repeat(64);
    server.tell::<()>(&format!("ACL SETUSER bodiless on >hunter2 ~idempotency:{names} +@all"));
    fails(redis(&url("bodiless:hunter2")), configuration, &["a command or a name"]).await;

    server.tell::<()>("CONFIG SET maxmemory-policy allkeys-lru");
    let checklist = IdempotencyLayer::new(redis(&server.url())).check().await.unwrap();
    assert_eq!(result(&checklist, "eviction"), CheckResult::Open, "{checklist}");
    assert!(checklist.to_string().contains("maxmemory-policy is allkeys-lru"), "{checklist}");
}

#[tokio::test]
async fn a_postgres_that_cannot_be_used_fails_the_check() {
    let server = PostgresServer::start();
    let configuration = StoreErrorKind::Configuration;
    let store = || DynStore::new(server.store());
    fails(store(), configuration, &["`PostgresStore::migrate` has not been run"]).await;

    let port = free_port();
    let nowhere = sqlx::PgPool::connect_lazy(&format!("postgres://me:hunter2@127.0.0.1:{port}/x"));
    let nowhere = DynStore::new(PostgresStore::new(nowhere.unwrap()));
    let says = format!("cannot connect to PostgreSQL at 127.0.0.1:{port}");
    fails(nowhere, StoreErrorKind::Unavailable, &[&says]).await;

    server.store().migrate().await.unwrap();
    let pg = Pg::on(server).await;
    pg.ask("CREATE ROLE reader LOGIN").await;
    pg.ask("GRANT SELECT ON idempotency_records TO reader").await;
    let options = pg.server.pool().connect_options().as_ref().clone().username("reader");
    let pool = sqlx::PgPool::connect_lazy_with(options);
    let reader = || DynStore::new(PostgresStore::new(pool.clone()));
    let grant = "GRANT INSERT, UPDATE, DELETE ON \"idempotency_records\" TO \"reader\"";
    fails(reader(), configuration, &["the role \"reader\" may not", grant]).await;

    let options = pg.server.pool().connect_options().as_ref().clone();
    let one = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
    let used = one.acquire().await.unwrap();
    let used_up = DynStore::new(PostgresStore::new(one));
    fails(used_up, StoreErrorKind::Unavailable, &["the pool had no connection in time"]).await;
    drop(used);

    pg.ask("COMMENT ON TABLE idempotency_records IS 'tower-idempotency 1'").await;
    let other = ["that of \"tower-idempotency 1\"", "use another table"];
    fails(DynStore::new(pg.server.store()), configuration, &other).await;
    pg.ask("COMMENT ON TABLE idempotency_records IS 'tower-idempotency 3'").await;

    pg.ask(
        "INSERT INTO idempotency_records (key, status, token, fingerprint, attempt, expires_at) \
         VALUES ('\\x00', 'failed', '\\x00', '\\x00', 1, now() - interval '2 hours')",
    )
    .await;
    pg.ask("ALTER SYSTEM SET synchronous_commit = off").await;
    pg.ask("SELECT pg_reload_conf()::text").await;
    let layer = IdempotencyLayer::new(pg.server.store());
    // The server has read its settings when a new connection has them.
    pg.until("SELECT 1::text WHERE current_setting('synchronous_commit') = 'off'", 1).await;
    let checklist = layer.check().await.unwrap();
    assert_eq!(result(&checklist, "sweep"), CheckResult::Open, "{checklist}");
    assert_eq!(result(&checklist, "durability"), CheckResult::Open, "{checklist}");
}

#[tokio::test]
async fn a_postgres_that_can_lose_commits_is_found() {
    let server = PostgresServer::start_with(&["fsync=on"]);
    server.store().migrate().await.unwrap();
    let pg = Pg::on(server).await;
    let check = async || {
        let checklist = IdempotencyLayer::new(pg.server.store()).check().await.unwrap();
        let item = checklist.iter().find(|item| item.name == "durability").cloned().unwrap();
        (item.result, item.found)
    };
    assert_eq!(check().await, (CheckResult::Passed, "synchronous_commit is on".into()));
    pg.ask("ALTER TABLE idempotency_records SET UNLOGGED").await;
    let found = "synchronous_commit is on, the table is UNLOGGED";
    assert_eq!(check().await, (CheckResult::Open, found.into()));
    pg.ask("ALTER TABLE idempotency_records SET LOGGED").await;
    pg.ask("ALTER SYSTEM SET full_page_writes = off").await;
    pg.ask("SELECT pg_reload_conf()::text").await;
    pg.until("SELECT 1::text WHERE current_setting('full_page_writes') = 'off'", 1).await;
    let found = "synchronous_commit is on, full_page_writes is off";
    assert_eq!(check().await, (CheckResult::Open, found.into()));

    let checklist = Kind::Postgres.start().await.layer().await.check().await.unwrap().to_string();
    assert!(checklist.contains("synchronous_commit is on, fsync is off"), "{checklist}");
}

#[tokio::test]
async fn a_sqlite_that_cannot_be_used_fails_the_check() {
    let lite = Lite::start().await;
    let store = DynStore::new(lite.leasing().await);
    lite.ask("DROP TABLE idempotency_records").await;
    let missing = ["`SqliteStore::migrate` has not been run"];
    fails(store, StoreErrorKind::Configuration, &missing).await;

    let nowhere = SqliteStore::open("/nowhere/at/all/shop.db").await.unwrap_err();
    said(&nowhere, StoreErrorKind::Configuration, &["check its path"]);
    let memory = SqliteStore::open(":memory:").await.unwrap_err();
    said(&memory, StoreErrorKind::Configuration, &["the memory store is for one process"]);
}
