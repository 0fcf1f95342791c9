use sqlx::Executor;

use super::{Stores, assert_made, pay, place};
use crate::support::patiently;
use crate::support::sandbox::Sandbox;

/// Makes each order hang between its two statements.
const HANG: &str = "CREATE VIEW endless AS \
                      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                      SELECT i FROM n; \
                    CREATE TRIGGER hang BEFORE UPDATE ON stock \
                      BEGIN SELECT count(*) FROM endless; END";

#[tokio::test(flavor = "multi_thread")]
async fn an_order_killed_in_mid_handler_leaves_no_row_and_its_retry_runs_on_sqlite() {
    let stores = Stores::embedded();
    let mut service = stores.start().await;
    let mut connection = stores.sqlite().await;
    connection.execute(HANG).await.unwrap();
    // Only the handler holds the right to write for longer than this connection waits for it.
    let hangs = async {
        while connection.execute("BEGIN IMMEDIATE").await.is_ok() {
            connection.execute("ROLLBACK").await.unwrap();
        }
    };
    tokio::select! {
        response = place(&service, "k") => panic!("it does not hang: {response:?}"),
        () = patiently(hangs) => {}
    }
    service.kill().await;
    assert_eq!(stores.books().await, (0, 1000));
    connection.execute("DROP TRIGGER hang").await.unwrap();
    assert_made(&place(&stores.start().await, "k").await, false);
    assert_eq!(stores.books().await, (1, 998));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_killed_in_mid_handler_leaves_no_row_and_its_retry_runs_on_postgres() {
    let stores = Stores::on_servers(&[]).await;
    let mut service = stores.start().await;
    let mut connection = stores.postgres().await;
    connection.execute("BEGIN; LOCK TABLE stock").await.unwrap();
    tokio::select! {
        response = place(&service, "k") => panic!("it does not hang: {response:?}"),
        () = stores.order_waits() => {}
    }
    service.kill().await;
    connection.execute("ROLLBACK").await.unwrap();
    // The server notices the lost connection when it has the lock.
    let next = stores.start().await;
    let retried = async {
        loop {
            match place(&next, "k").await {
                busy if busy.status == 409 => {
                    busy.rejected_for_now(409, "idempotency_key_in_flight");
                }
                response => return response,
            }
        }
    };
    assert_made(&patiently(retried).await, false);
    assert_eq!(stores.books().await, (1, 998));
}

/// Waits until a payment runs.
async fn pays(service: &Sandbox) {
    let begun = "idempotency_attempts_total{previous=\"none\",namespace=\"payments\",\
                 route=\"POST /v1/payments\"} 1";
    while !String::from_utf8_lossy(&service.get("/metrics").await.body).contains(begun) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_begins_nothing_new_lets_a_payment_finish_and_exits_0() {
    for stores in Stores::all().await {
        let stores = stores.with("PROVIDER_LATENCY_MS", "3000");
        let mut service = stores.start().await;
        let stop = async {
            patiently(pays(&service)).await;
            service.signal("TERM");
            for number in 0.. {
                let response = place(&service, &format!("k{number}")).await;
                if response.status != 201 {
                    return response.rejected_for_now(503, "idempotency_shutting_down");
                }
            }
        };
        let (paid, ()) = tokio::join!(pay(&service, "k"), stop);
        assert_made(&paid, false);
        assert_eq!(service.ended().await.code(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_outlasts_the_grace_period_is_cut_off() {
    let stores = Stores::embedded().with("PROVIDER_LATENCY_MS", "3600000").with("GRACE_MS", "200");
    let mut service = stores.start().await;
    tokio::select! {
        response = pay(&service, "k") => panic!("it is not slow: {response:?}"),
        () = patiently(pays(&service)) => service.signal("TERM"),
    }
    assert_eq!(service.ended().await.code(), Some(0));
    assert!(stores.log().contains("requests still run, and are cut off"), "{}", stores.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_is_down_makes_payments_503_and_the_health_check_too() {
    let mut stores = Stores::on_servers(&[]).await;
    let service = stores.start().await;
    stores.servers.as_mut().unwrap().0.kill();
    pay(&service, "k").await.rejected_for_now(503, "idempotency_store_unavailable");
    let health = service.get("/healthz").await;
    assert_eq!(health.status, 503);
    assert_made(&place(&service, "k").await, false);
    stores.servers.as_mut().unwrap().0.restart();
    let heals = async { while service.get("/healthz").await.status != 200 {} };
    patiently(heals).await;
    assert_made(&pay(&service, "k").await, false);
}
