use std::time::{Duration, Instant};

use serde_json::json;

use super::server::{Sandbox, order, order_with};

#[tokio::test]
async fn delay_and_after_make_a_payment_slow() {
    let sandbox = Sandbox::start(&[]).await;
    let start = Instant::now();
    let response =
        sandbox.pay("slow", &order_with(json!({ "delay_ms": 60, "after_ms": 60 }))).await;
    assert_eq!(response.status, 201);
    assert!(start.elapsed() >= Duration::from_millis(120));
}

#[tokio::test]
async fn a_status_that_is_a_success_has_its_effect_once() {
    let sandbox = Sandbox::start(&[]).await;
    for status in [200, 202, 204, 303] {
        let key = status.to_string();
        let order = order_with(json!({ "status": status }));
        let first = sandbox.pay(&key, &order).await;
        let second = sandbox.pay(&key, &order).await;
        assert_eq!((first.status.as_u16(), second.status.as_u16()), (status, status));
        assert!(!first.is_replay() && second.is_replay());
        assert_eq!(first.body, second.body);
        assert_eq!(first.header("location"), second.header("location"));
        assert_eq!(first.body.is_empty(), status == 204);
    }
    assert_eq!(sandbox.effects().await.len(), 4);
}

#[tokio::test]
async fn a_definitive_error_has_no_effect_and_is_replayed() {
    let sandbox = Sandbox::start(&[]).await;
    let order = order_with(json!({ "status": 402 }));
    let first = sandbox.pay("declined", &order).await;
    assert_eq!(first.status, 402);
    assert!(first.json()["error"].is_string());
    assert_eq!(first.header("location"), None);
    let second = sandbox.pay("declined", &order).await;
    assert_eq!((second.status, &second.body), (first.status, &first.body));
    assert!(second.is_replay());
    assert!(sandbox.effects().await.is_empty());
}

#[tokio::test]
async fn a_failure_has_no_effect_and_the_next_attempt_knows_of_it() {
    let sandbox = Sandbox::start(&[]).await;
    let order = order_with(json!({ "status": 503 }));
    for attempt in 1..=3 {
        let response = sandbox.pay("failing", &order).await;
        assert_eq!(response.status, 503);
        assert!(!response.is_replay());
        let receipt = response.json();
        assert_eq!(receipt["attempt"], attempt);
        if attempt > 1 {
            assert_eq!(receipt["previous"], "failed");
            assert_eq!(receipt["previous_status"], 503);
        }
    }
    assert!(sandbox.effects().await.is_empty());
}

#[tokio::test]
async fn a_failure_is_replayed_or_rejected_when_the_flag_says_so() {
    let replaying = Sandbox::start(&["--on-failed", "replay"]).await;
    let rejecting = Sandbox::start(&["--on-failed=refuse"]).await;
    let order = order_with(json!({ "status": 500 }));
    for sandbox in [&replaying, &rejecting] {
        assert_eq!(sandbox.pay("k", &order).await.status, 500);
    }
    let replay = replaying.pay("k", &order).await;
    assert_eq!(replay.status, 500);
    assert!(replay.is_replay());
    rejecting.pay("k", &order).await.rejected_for_good("idempotency_attempt_failed");
}

#[tokio::test]
async fn a_panic_is_a_500_before_or_after_the_effect() {
    let sandbox = Sandbox::start(&[]).await;
    let before = order_with(json!({ "panic": "before" }));
    assert_eq!(sandbox.pay("before", &before).await.status, 500);
    assert!(sandbox.effects().await.is_empty());

    let after = order_with(json!({ "panic": "after" }));
    for attempt in 1..=2 {
        assert_eq!(sandbox.pay("after", &after).await.status, 500);
        let effects = sandbox.effects().await;
        assert_eq!(effects.len(), attempt);
        assert_eq!(effects[attempt - 1]["attempt"], attempt);
    }
    // A panic in an unguarded request is no different.
    assert_eq!(sandbox.send(sandbox.json("/payments"), before.to_string()).await.status, 500);
    assert_eq!(sandbox.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_response_over_the_limit_goes_to_the_client_and_is_not_stored() {
    let sandbox = Sandbox::start(&["--max-response", "64KiB"]).await;
    let small = order_with(json!({ "bytes": 60_000 }));
    let large = order_with(json!({ "bytes": 70_000 }));
    let first = sandbox.pay("small", &small).await;
    assert_eq!(first.json()["padding"].as_str().unwrap().len(), 60_000);
    assert_eq!(sandbox.pay("small", &small).await.body, first.body);

    let first = sandbox.pay("large", &large).await;
    assert_eq!(first.json()["padding"].as_str().unwrap().len(), 70_000);
    let second = sandbox.pay("large", &large).await;
    second.rejected_for_good("idempotency_result_not_retained");
    assert_eq!(second.header("location"), first.header("location"));
    assert_eq!(second.json()["original_status"], 201);
    assert_eq!(sandbox.effects().await.len(), 2);
}

#[tokio::test]
async fn a_streamed_response_has_no_known_length_and_is_not_stored() {
    let sandbox = Sandbox::start(&[]).await;
    let order = order_with(json!({ "stream": true }));
    let first = sandbox.pay("stream", &order).await;
    assert_eq!(first.status, 201);
    assert_eq!(first.header("content-length"), None);
    assert_eq!(first.json()["attempt"], 1);
    sandbox.pay("stream", &order).await.rejected_for_good("idempotency_result_not_retained");
    assert_eq!(sandbox.effects().await.len(), 1);
}

#[tokio::test]
async fn a_cookie_is_set_once_and_never_replayed() {
    let sandbox = Sandbox::start(&[]).await;
    let order = order_with(json!({ "set_cookie": true }));
    assert!(sandbox.pay("cookie", &order).await.header("set-cookie").is_some());
    let second = sandbox.pay("cookie", &order).await;
    assert!(second.is_replay());
    assert_eq!(second.header("set-cookie"), None);
}

#[tokio::test]
async fn a_knob_that_does_not_exist_or_goes_too_far_is_rejected() {
    let sandbox = Sandbox::start(&[]).await;
    for knobs in [
        json!({ "dealy_ms": 1 }),
        json!({ "status": 100 }),
        json!({ "status": 600 }),
        json!({ "panic": "during" }),
        json!({ "bytes": 1_u64 << 40 }),
    ] {
        assert_eq!(sandbox.pay("knob", &order_with(knobs.clone())).await.status, 422, "{knobs}");
    }
    assert!(sandbox.effects().await.is_empty());
    assert_eq!(sandbox.pay("knob", &order()).await.status, 201);
}
