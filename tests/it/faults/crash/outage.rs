//! Redis killed under a thousand requests: each is rejected in time, nothing is left behind, and
//! it heals.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tower::ServiceExt;
use tower_idempotency::RedisStore;
use tower_idempotency::store::DynStore;

use crate::support::pair::Pair;
use crate::support::redis::RedisServer;
use crate::support::sandbox::{Sandbox, order};
use crate::support::{Effects, counting, layer_over, patiently};

const STORE_TIMEOUT: Duration = Duration::from_millis(500);
/// What a busy machine may add to that.
const SLACK: Duration = Duration::from_secs(1);
const RECOVERY: Duration = Duration::from_secs(2);

/// Sends a thousand requests, fifty at a time. Each must be rejected in time.
async fn a_thousand<Fut: Future<Output = StatusCode> + Send + 'static>(
    send: impl Fn(usize) -> Fut + Clone + Send + 'static,
) {
    let mut clients = JoinSet::new();
    for client in 0..50 {
        let send = send.clone();
        clients.spawn(async move {
            for number in 0..20 {
                let start = Instant::now();
                assert_eq!(send(client * 20 + number).await, 503);
                let took = start.elapsed();
                assert!(took < STORE_TIMEOUT + SLACK, "{took:?}");
            }
        });
    }
    patiently(clients.join_all()).await;
}

/// Sends until a first execution succeeds, which must be soon.
async fn recovers<Fut: Future<Output = StatusCode>>(send: impl Fn(usize) -> Fut) {
    let start = Instant::now();
    let mut number = 1000;
    while send(number).await != StatusCode::CREATED {
        assert!(start.elapsed() < RECOVERY, "it does not recover");
        number += 1;
    }
}

#[cfg(target_os = "linux")]
fn threads(sandbox: &Sandbox) -> usize {
    std::fs::read_dir(format!("/proc/{}/task", sandbox.pid())).unwrap().count()
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_process_has_no_more_threads_after_an_outage_than_before() {
    let mut pair = Pair::start(&["--store-timeout", "500ms"]).await;
    assert_eq!(pair.one.pay("before", &order()).await.status, 201);
    let before = threads(&pair.one);
    let sandbox = Arc::clone(&pair.one);
    let send = move |number: usize| {
        let sandbox = Arc::clone(&sandbox);
        async move {
            let response = sandbox.pay(&format!("k{number}"), &order()).await;
            if response.status == 503 {
                response.rejected_for_now(503, "idempotency_store_unavailable");
            }
            response.status
        }
    };
    pair.redis.kill();
    a_thousand(send.clone()).await;
    assert!(threads(&pair.one) <= before);
    pair.redis.restart();
    recovers(send).await;
    assert!(threads(&pair.one) <= before);
    assert_eq!(pair.other.effects().await.len(), 2);
}

#[tokio::test]
async fn no_task_is_left_of_requests_that_were_rejected() {
    let mut redis = RedisServer::start();
    let effects = Effects::new();
    let store = DynStore::new(RedisStore::open(&redis.url()).unwrap());
    let router: Router = counting(&effects).layer(layer_over(store).store_timeout(STORE_TIMEOUT));
    let send = move |number: usize| {
        let request = Request::post("/").header("x-idempotency-key", format!("k{number}"));
        let router = router.clone();
        async move {
            let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            if response.status() == 200 { StatusCode::CREATED } else { response.status() }
        }
    };
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let back_to = async |before: usize| {
        patiently(async {
            while tasks() > before {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    assert_eq!(send(1000).await, StatusCode::CREATED);
    let before = tasks();
    redis.kill();
    a_thousand(send.clone()).await;
    back_to(before).await;
    redis.restart();
    recovers(|number| send(number + 1)).await;
    back_to(before).await;
    // Silent, not dead: what was sent is waited for, up to the store timeout.
    redis.stop();
    a_thousand(send.clone()).await;
    back_to(before).await;
    redis.resume();
    recovers(|number| send(number + 1000)).await;
    back_to(before).await;
}
