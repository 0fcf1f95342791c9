//! A crowd of clients before a pool while others hold locks, and how many backends that takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::post;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, PgPool, Postgres};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;
use tower_idempotency::{IdempotencyLayer, PostgresStore, Scope, Tx};

use super::PostgresServer;

const CLIENTS: usize = 32;
pub(crate) const POOL: u32 = 16;
/// The limit in the handler.
const LIMIT: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The same handler without a layer.
    Control,
    Lease,
    Transaction,
}

/// The measurements.
#[derive(Debug)]
pub(crate) struct Measured {
    /// The most backends of the pool, while the table was locked and while the row was.
    pub(crate) table: i64,
    pub(crate) row: i64,
    /// The longest time to a response.
    pub(crate) longest: Duration,
    /// How many requests were executed in the end, and how many payments each of them made.
    pub(crate) keys: usize,
    pub(crate) payments: Vec<i64>,
}

/// Thirty-two clients pay by a pool of sixteen, while a table and then a row is locked for as long.
pub(crate) async fn crowd(mode: Mode, locked: Duration) -> Measured {
    let server = PostgresServer::start();
    let mut beside = connect(&server, "beside").await;
    let tables = "CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL);
                  INSERT INTO accounts VALUES (1, 0);
                  CREATE TABLE payments (key text NOT NULL)";
    sqlx::raw_sql(tables).execute(&mut beside).await.unwrap();
    let options = server.url().parse::<PgConnectOptions>().unwrap().application_name("pool");
    let pool = PgPoolOptions::new().max_connections(POOL).connect_with(options).await.unwrap();
    let app = app(mode, &pool).await;

    let stopped = Arc::new(AtomicBool::new(false));
    let number = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(client(app.clone(), Arc::clone(&number), Arc::clone(&stopped)));
    }
    sleep(LIMIT).await;
    let table = if mode == Mode::Control { "payments" } else { "idempotency_records" };
    let lock = format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
    let table = most_backends(&server, &mut beside, lock, locked).await;
    sleep(Duration::from_secs(1)).await;
    let lock = "SELECT FROM accounts WHERE id = 1 FOR UPDATE".to_owned();
    let row = most_backends(&server, &mut beside, lock, locked).await;
    stopped.store(true, Ordering::SeqCst);
    let clients = clients.join_all().await;

    let payments = "SELECT DISTINCT count(*) FROM payments GROUP BY key";
    let payments = sqlx::query_scalar(payments).fetch_all(&mut beside).await.unwrap();
    let longest = clients.iter().map(|(longest, _)| *longest).max().unwrap();
    let keys = clients.iter().map(|(_, keys)| keys).sum();
    Measured { table, row, longest, keys, payments }
}

async fn connect(server: &PostgresServer, name: &str) -> PgConnection {
    server
        .url()
        .parse::<PgConnectOptions>()
        .unwrap()
        .application_name(name)
        .connect()
        .await
        .unwrap()
}

/// Holds a lock for a time, and counts meanwhile.
async fn most_backends(
    server: &PostgresServer,
    beside: &mut PgConnection,
    lock: String,
    locked: Duration,
) -> i64 {
    let mut holder = connect(server, "holder").await;
    sqlx::raw_sql("BEGIN").execute(&mut holder).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut holder).await.unwrap();
    let (start, mut most) = (Instant::now(), 0);
    while start.elapsed() < locked {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pool'";
        most = most.max(sqlx::query_scalar(count).fetch_one(&mut *beside).await.unwrap());
        sleep(Duration::from_millis(10)).await;
    }
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    most
}

async fn app(mode: Mode, pool: &PgPool) -> Router {
    let store = PostgresStore::new(pool.clone());
    let control = || Router::new().route("/", post(pay)).with_state(pool.clone());
    match mode {
        Mode::Control => control(),
        Mode::Lease => {
            store.migrate().await.unwrap();
            control().layer(IdempotencyLayer::new(store).scope(|_| Scope::anonymous()))
        }
        Mode::Transaction => {
            store.migrate().await.unwrap();
            let layer = IdempotencyLayer::new(store.in_transaction()).scope(|_| Scope::anonymous());
            Router::new().route("/", post(pay_in_transaction)).layer(layer)
        }
    }
}

async fn pay(State(pool): State<PgPool>, headers: HeaderMap) -> StatusCode {
    let paid = timeout(LIMIT, async {
        let mut transaction = pool.begin().await?;
        // The effect of an attempt that is cut off may be there: the handler must expect it.
        let unpaid = "SELECT FROM payments WHERE key = $1";
        if sqlx::query(unpaid)
            .bind(key(&headers))
            .fetch_optional(&mut *transaction)
            .await?
            .is_none()
        {
            insert(&mut transaction, key(&headers)).await?;
        }
        transaction.commit().await
    });
    status(&paid.await)
}

async fn pay_in_transaction(mut tx: Tx<Postgres>, headers: HeaderMap) -> StatusCode {
    status(&timeout(LIMIT, insert(&mut tx, key(&headers))).await)
}

fn key(headers: &HeaderMap) -> &str {
    headers["x-idempotency-key"].to_str().unwrap()
}

async fn insert(connection: &mut PgConnection, key: &str) -> Result<(), sqlx::Error> {
    let account = "UPDATE accounts SET balance = balance + 1 WHERE id = 1";
    sqlx::query(account).execute(&mut *connection).await?;
    let payment = sqlx::query("INSERT INTO payments VALUES ($1)").bind(key.to_owned());
    payment.execute(connection).await.map(drop)
}

fn status<E>(paid: &Result<Result<(), sqlx::Error>, E>) -> StatusCode {
    match paid {
        Ok(Ok(())) => StatusCode::CREATED,
        Ok(Err(_)) => StatusCode::INTERNAL_SERVER_ERROR,
        Err(_) => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// Pays under one key after another, each until that has succeeded; the longest time to a response,
/// and how many payments it made.
async fn client(
    app: Router,
    number: Arc<AtomicU64>,
    stopped: Arc<AtomicBool>,
) -> (Duration, usize) {
    let (mut longest, mut keys) = (Duration::ZERO, 0);
    while !stopped.load(Ordering::SeqCst) {
        let key = number.fetch_add(1, Ordering::Relaxed).to_string();
        loop {
            let request = Request::post("/").header("x-idempotency-key", &key).body(Body::empty());
            let start = Instant::now();
            let status = app.clone().oneshot(request.unwrap()).await.unwrap().status();
            longest = longest.max(start.elapsed());
            sleep(Duration::from_millis(20)).await;
            if status == StatusCode::CREATED {
                break;
            }
        }
        keys += 1;
    }
    (longest, keys)
}
