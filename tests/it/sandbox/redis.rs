//! The sandbox with its records in Redis, as two processes and through faults.

use axum::http::StatusCode;
use serde_json::json;
use tokio::task::JoinSet;

use super::server::{order, order_with};
use crate::support::pair::Pair;

#[tokio::test]
async fn of_200_concurrent_requests_to_two_processes_one_runs() {
    let Pair { redis: _redis, one, other, directory: _directory } = Pair::start(&[]).await;
    let order = order_with(json!({ "after_ms": 200 }));
    let mut requests = JoinSet::new();
    for number in 0..200 {
        let sandbox = if number % 2 == 0 { one.clone() } else { other.clone() };
        let order = order.clone();
        requests.spawn(async move { sandbox.pay("k", &order).await });
    }
    let responses = requests.join_all().await;
    assert_eq!(one.effects().await.len(), 1);

    let first: Vec<_> = responses
        .iter()
        .filter(|response| response.status == 201 && !response.is_replay())
        .collect();
    assert_eq!(first.len(), 1);
    for response in &responses {
        match response.status {
            StatusCode::CREATED => assert_eq!(response.body, first[0].body),
            _ => response.rejected_for_now(409, "idempotency_key_in_flight"),
        }
    }
    for sandbox in [one, other] {
        let replay = sandbox.pay("k", &order).await;
        assert!(replay.is_replay());
        assert_eq!(replay.body, first[0].body);
    }
}

#[tokio::test]
async fn those_that_wait_in_either_process_get_the_one_response() {
    let Pair { redis: _redis, one, other, directory: _directory } =
        Pair::start(&["--in-flight", "wait:15s"]).await;
    let order = order_with(json!({ "after_ms": 200 }));
    let mut requests = JoinSet::new();
    for number in 0..50 {
        let sandbox = if number % 2 == 0 { one.clone() } else { other.clone() };
        let order = order.clone();
        requests.spawn(async move { sandbox.pay("k", &order).await });
    }
    let responses = requests.join_all().await;
    assert_eq!(responses.iter().filter(|response| !response.is_replay()).count(), 1);
    for response in &responses {
        assert_eq!(response.status, 201);
        assert_eq!(response.body, responses[0].body);
    }
    assert_eq!(one.effects().await.len(), 1);
}

#[tokio::test]
async fn a_store_that_is_down_is_a_503_and_heals_by_itself() {
    let Pair { mut redis, one, other, directory: _directory } =
        Pair::start(&["--store-timeout", "500ms"]).await;
    assert_eq!(one.pay("before", &order()).await.status, 201);
    assert_eq!(one.get("/healthz").await.status, 200);

    redis.kill();
    for sandbox in [&one, &other] {
        let start = std::time::Instant::now();
        sandbox
            .pay("during", &order())
            .await
            .rejected_for_now(503, "idempotency_store_unavailable");
        assert!(start.elapsed() < std::time::Duration::from_secs(2));
        assert_eq!(sandbox.get("/healthz").await.status, 503);
    }
    assert_eq!(one.effects().await.len(), 1);

    let port = redis.port();
    redis.restart();
    assert_eq!(redis.port(), port);
    for sandbox in [&one, &other] {
        let healed = async { while sandbox.get("/healthz").await.status != 200 {} };
        tokio::time::timeout(std::time::Duration::from_secs(10), healed)
            .await
            .expect("it does not heal");
    }
    assert_eq!(one.pay("after", &order()).await.status, 201);
    assert!(other.pay("after", &order()).await.is_replay());
}

#[tokio::test]
async fn a_store_that_hangs_is_a_503_within_the_store_timeout() {
    let Pair { redis, one, other: _other, directory: _directory } =
        Pair::start(&["--store-timeout", "300ms"]).await;
    assert_eq!(one.pay("before", &order()).await.status, 201);
    redis.stop();
    let start = std::time::Instant::now();
    one.pay("during", &order()).await.rejected_for_now(503, "idempotency_store_unavailable");
    assert!(start.elapsed() < std::time::Duration::from_secs(2));
    assert_eq!(one.effects().await.len(), 1);
    redis.resume();
}

#[tokio::test]
async fn while_the_store_is_down_every_payment_runs_unguarded_when_the_flag_says_so() {
    let Pair { mut redis, one, other, directory: _directory } =
        Pair::start(&["--on-outage", "open"]).await;
    assert!(one.pay("k", &order()).await.header("x-idempotent-result").is_none());
    assert!(other.pay("k", &order()).await.is_replay());

    redis.kill();
    for sandbox in [&one, &other] {
        let response = sandbox.pay("k", &order()).await;
        assert_eq!(
            (response.status.as_u16(), response.header("x-idempotent-result")),
            (201, Some("unguarded"))
        );
    }
    assert_eq!(one.effects().await.len(), 3);
}
