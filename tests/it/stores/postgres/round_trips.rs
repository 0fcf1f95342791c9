//! How often the store sends something to the server, the driver's pings included, and how soon it
//! returns what it leaves out of the pool between two operations.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tower_idempotency::store::{Reservation, Settlement, Store};
use tower_idempotency::{
    Attempt, Fingerprint, IdempotencyKey, IdempotencyLayer, PostgresStore, Scope,
};

use super::faults::{rests, untested};
use crate::support::patiently;
use crate::support::postgres::{PostgresServer, acquired, outcome, request};
use crate::support::proxy::Proxy;

const TIMES: usize = 50;
const RETENTION: std::time::Duration = std::time::Duration::from_mins(1);

async fn execute(store: &PostgresStore, key: &str) {
    let lease = acquired(store.reserve(&request(key)).await.unwrap());
    let settled = store.complete(&lease, &outcome(201, 10), RETENTION).await.unwrap();
    assert_eq!(settled, Settlement::Applied);
}

async fn replay(store: &PostgresStore, key: &str) {
    assert!(matches!(store.reserve(&request(key)).await.unwrap(), Reservation::Found(_)));
}

/// Asserts how many round trips one operation takes. A connection that goes back to the pool on a
/// busy machine adds some, and half of the operations have none to spare.
#[track_caller]
fn costs(proxy: &Proxy, each: usize) {
    let counted = proxy.round_trips();
    let range = each * TIMES..each * TIMES + TIMES / 2;
    assert!(range.contains(&counted), "{counted} round trips in {TIMES} operations of {each}");
}

#[tokio::test]
async fn a_first_execution_takes_two_round_trips_and_a_replay_takes_one() {
    let server = PostgresServer::start_migrated();
    let proxy = Proxy::start(server.port()).await;
    let pool = untested(proxy.port(), 5);
    let store = PostgresStore::new(pool.clone());
    // The first of each kind prepares its statement.
    execute(&store, "before").await;
    replay(&store, "before").await;
    rests(&pool).await;
    proxy.round_trips();

    for number in 0..TIMES {
        execute(&store, &format!("key-{number}")).await;
    }
    rests(&pool).await;
    costs(&proxy, 2);
    for number in 0..TIMES {
        replay(&store, &format!("key-{number}")).await;
    }
    rests(&pool).await;
    costs(&proxy, 1);
}

#[tokio::test]
async fn an_attempt_in_a_transaction_takes_six_round_trips_with_its_insert_and_a_replay_takes_one()
{
    let server = PostgresServer::start_migrated();
    let proxy = Proxy::start(server.port()).await;
    let pool = untested(proxy.port(), 5);
    sqlx::raw_sql("CREATE TABLE payments (id bigint)").execute(&pool).await.unwrap();
    let layer = IdempotencyLayer::new(PostgresStore::new(pool.clone()).in_transaction());
    let pay = async |number: usize| {
        let key = IdempotencyKey::parse(format!("key-{number}").as_bytes()).unwrap();
        let pay = |attempt: Attempt| async move {
            let mut tx = attempt.transaction::<sqlx::Postgres>().unwrap();
            sqlx::query("INSERT INTO payments VALUES (1)").execute(&mut *tx).await.unwrap();
            Ok::<_, std::convert::Infallible>("paid".to_owned())
        };
        let fingerprint = Fingerprint::of_fields(["pay"]);
        layer.execute(&Scope::anonymous(), &key, fingerprint, pay).await.unwrap().is_replay
    };
    assert!(!pay(TIMES).await);
    assert!(pay(TIMES).await);
    rests(&pool).await;
    proxy.round_trips();

    for number in 0..TIMES {
        assert!(!pay(number).await);
    }
    rests(&pool).await;
    costs(&proxy, 6);
    for number in 0..TIMES {
        assert!(pay(number).await);
    }
    rests(&pool).await;
    costs(&proxy, 1);
}

#[tokio::test]
async fn a_pool_that_is_closed_gets_its_connections_and_the_store_is_told_that_it_is_closed() {
    let server = PostgresServer::start_migrated();
    let pool = untested(server.port(), 5);
    let store = PostgresStore::new(pool.clone());
    execute(&store, "key").await;
    assert_eq!(pool.num_idle(), 0, "the store has it");
    patiently(pool.close()).await;
    assert_eq!(pool.size(), 0);
    assert!(store.reserve(&request("key")).await.is_err());
}

#[tokio::test]
async fn a_store_that_is_dropped_leaves_nothing_out_of_the_pool() {
    let server = PostgresServer::start_migrated();
    let pool = untested(server.port(), 5);
    let store = PostgresStore::new(pool.clone());
    execute(&store, "key").await;
    assert_eq!(pool.num_idle(), 0, "the store has it");
    drop(store);
    rests(&pool).await;
    assert_eq!(pool.size(), 1);
}

#[test]
fn a_runtime_that_shuts_down_leaves_nothing_behind_for_the_next_one() {
    let server = PostgresServer::start_migrated();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let of_pool = runtime();
    let pool = of_pool.block_on(async { untested(server.port(), 5) });
    let store = PostgresStore::new(pool.clone());
    for number in 0..3 {
        runtime().block_on(execute(&store, &format!("key-{number}")));
        assert_eq!(pool.size(), 0, "it is closed with its runtime");
    }
}

/// The thread of the runtime is blocked meanwhile, so the store has no time to return anything.
#[tokio::test]
async fn a_connection_that_was_lost_between_two_operations_is_replaced() {
    let server = PostgresServer::start_migrated();
    let pool = untested(server.port(), 5);
    let store = PostgresStore::new(pool.clone());
    let lease = acquired(store.reserve(&request("released")).await.unwrap());
    execute(&store, "before").await;
    assert_eq!((pool.num_idle(), pool.size()), (0, 1), "the store has the only one");
    let lose = || {
        let end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() \
                   AND backend_type = 'client backend'";
        let work = async { sqlx::raw_sql(end).execute(&server.pool()).await.unwrap() };
        let runtime =
            || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::scope(|scope| scope.spawn(move || runtime().block_on(work)).join().unwrap());
    };
    lose();
    execute(&store, "after").await;
    rests(&pool).await;
    // A release is not sent twice, so it has to find a sound one.
    execute(&store, "again").await;
    assert_eq!(store.release(&lease).await.unwrap(), Settlement::Applied);
}

/// Each handler takes a connection of its own while the store operates for others.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_pool_serves_the_store_and_the_handlers() {
    let server = PostgresServer::start_migrated();
    for connections in [1, 2] {
        let pool = untested(server.port(), connections);
        let store = PostgresStore::new(pool.clone());
        let paid = Arc::new(AtomicUsize::new(0));
        let clients = (0..8).map(|client| {
            let (pool, store, paid) = (pool.clone(), store.clone(), Arc::clone(&paid));
            tokio::spawn(async move {
                for number in 0..TIMES {
                    let request = request(&format!("{connections}-{client}-{number}"));
                    let lease = acquired(store.reserve(&request).await.unwrap());
                    sqlx::query("SELECT 1").execute(&pool).await.unwrap();
                    paid.fetch_add(1, Ordering::Relaxed);
                    let response = outcome(201, 10);
                    let settled = store.complete(&lease, &response, RETENTION).await.unwrap();
                    assert_eq!(settled, Settlement::Applied);
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            patiently(client).await.unwrap();
        }
        assert_eq!(paid.load(Ordering::Relaxed), 8 * TIMES);
        rests(&pool).await;
    }
}
