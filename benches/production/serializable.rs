//! How many requests with distinct keys conflict in serializable transactions.
//!
//! Sixteen workers send 480 requests. Each handler inserts one row and takes 20 ms. `control` is
//! the same handler with its own transaction and without the layer. `lease mode` runs on a server
//! that is serializable by default.
//!
//! Arguments: numbers of records in the table before the run. Default: 0 10000 1000000.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::post;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, PgPool, Postgres};
use tower::ServiceExt as _;
use tower_idempotency::store::postgres::Isolation;
use tower_idempotency::store::{Conflict, TxError};
use tower_idempotency::{IdempotencyLayer, PostgresStore, Scope, Tx};

use crate::postgres::PostgresServer;

const WORKERS: usize = 16;
const REQUESTS: usize = 480;
const WORK: Duration = Duration::from_millis(20);
const INSERT: &str = "INSERT INTO orders (item) VALUES ('book')";
const RECORDS: &str = "INSERT INTO idempotency_records (key, status, attempt, token, fingerprint, expires_at)
    SELECT decode(md5(n::text) || md5((-n)::text), 'hex'), 'success', 1, decode(md5(n::text), 'hex'),
        decode(md5(n::text) || md5((-n)::text), 'hex'), now() + interval '1 day'
    FROM generate_series(1, $1::bigint) AS n";

pub(crate) async fn run(arguments: &[&str]) {
    let arguments = if arguments.is_empty() { &["0", "10000", "1000000"] } else { arguments };
    println!(
        "{:>9}  {:16} {:>9} {:>9} {:>7} {:>8}",
        "records", "", "committed", "conflicts", "others", "seconds"
    );
    for records in arguments {
        let records: i64 = records.parse().expect("a number of records");
        for (name, settings) in [
            ("transaction mode", &[][..]),
            ("control", &[][..]),
            ("lease mode", &["default_transaction_isolation=serializable"][..]),
        ] {
            let server = PostgresServer::start_with(settings);
            let pool =
                PgPoolOptions::new().max_connections(20).connect(&server.url()).await.unwrap();
            fill(&pool, records).await;
            let begun = Instant::now();
            let [committed, conflicts, others] = send(router(name, &pool)).await;
            let seconds = begun.elapsed().as_secs_f64();
            println!(
                "{records:>9}  {name:16} {committed:>9} {conflicts:>9} {others:>7} {seconds:>8.2}"
            );
        }
    }
}

async fn fill(pool: &PgPool, records: i64) {
    PostgresStore::new(pool.clone()).migrate().await.unwrap();
    sqlx::query("CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY, item text)")
        .execute(pool)
        .await
        .unwrap();
    sqlx::query(RECORDS).bind(records).execute(pool).await.unwrap();
    sqlx::query("VACUUM ANALYZE idempotency_records").execute(pool).await.unwrap();
}

fn router(name: &str, pool: &PgPool) -> Router {
    let store = PostgresStore::new(pool.clone());
    let pool = pool.clone();
    match name {
        "transaction mode" => {
            let store = store.in_transaction().isolation(Isolation::Serializable);
            Router::new().route("/", post(in_transaction)).layer(layer(store))
        }
        "control" => Router::new().route("/", post(move || alone(pool))),
        _ => Router::new()
            .route("/", post(async || tokio::time::sleep(WORK).await))
            .layer(layer(store)),
    }
}

fn layer<S: tower_idempotency::store::Store>(store: S) -> IdempotencyLayer<S> {
    IdempotencyLayer::new(store).scope(|_| Scope::anonymous())
}

async fn in_transaction(mut tx: Tx<Postgres>) -> Result<(), TxError> {
    sqlx::query(INSERT).execute(&mut *tx).await?;
    tokio::time::sleep(WORK).await;
    Ok(())
}

async fn alone(pool: PgPool) -> StatusCode {
    let work = async {
        let mut connection = pool.acquire().await?;
        let mut tx = connection.begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE").await?;
        sqlx::query(INSERT).execute(&mut *tx).await?;
        tokio::time::sleep(WORK).await;
        tx.commit().await
    };
    match work.await {
        Ok(()) => StatusCode::OK,
        Err(error) if Conflict::of(&error).is_some() => StatusCode::CONFLICT,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Sends the requests. Returns the numbers of commits, of conflicts that the client received, and
/// of other results.
async fn send(router: Router) -> [usize; 3] {
    let next = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (router, next) = (router.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                let mut counts = [0; 3];
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= REQUESTS {
                        return counts;
                    }
                    let request =
                        Request::post("/").header("x-idempotency-key", format!("request-{number}"));
                    let response =
                        router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
                    counts[match response.status().as_u16() {
                        200 => 0,
                        409 => 1,
                        _ => 2,
                    }] += 1;
                }
            })
        })
        .collect();
    let mut sum = [0; 3];
    for worker in workers {
        for (sum, count) in sum.iter_mut().zip(worker.await.unwrap()) {
            *sum += count;
        }
    }
    sum
}
