use serde_json::json;

use super::server::{Sandbox, order, order_with};

#[tokio::test]
async fn a_retry_gets_the_first_response_and_does_nothing() {
    let sandbox = Sandbox::start(&[]).await;
    let first = sandbox.pay("order-1001", &order()).await;
    assert_eq!(first.status, 201);
    assert_eq!(first.header("x-idempotent-result"), None);
    let second = sandbox.pay("order-1001", &order()).await;
    assert_eq!(second.status, 201);
    assert!(second.is_replay());
    assert_eq!(second.body, first.body);
    assert_eq!(second.header("location"), first.header("location"));
    assert_eq!(sandbox.effects().await.len(), 1);
}

#[tokio::test]
async fn another_request_under_the_same_key_is_rejected_even_in_flight() {
    let sandbox = Sandbox::start(&[]).await;
    let slow = order_with(json!({ "after_ms": 60_000 }));
    let in_flight = sandbox.pay("k", &slow);
    let others = async {
        sandbox.first_effect().await;
        sandbox.pay("k", &order()).await.rejected_for_good("idempotency_key_reused");
        sandbox.pay("k", &slow).await.rejected_for_now(409, "idempotency_key_in_flight");
    };
    tokio::select! {
        _ = in_flight => panic!("the slow payment ended first"),
        () = others => {}
    }
    assert_eq!(sandbox.effects().await.len(), 1);
}

#[tokio::test]
async fn a_request_that_waits_gets_the_response_of_the_one_in_flight() {
    let sandbox = Sandbox::start(&["--in-flight", "wait:15s"]).await;
    let slow = order_with(json!({ "after_ms": 400 }));
    let waiter = async {
        sandbox.first_effect().await;
        sandbox.pay("k", &slow).await
    };
    let (first, second) = tokio::join!(sandbox.pay("k", &slow), waiter);
    assert_eq!(first.status, 201);
    assert!(!first.is_replay() && second.is_replay());
    assert_eq!(first.body, second.body);
    assert_eq!(sandbox.effects().await.len(), 1);
}

#[tokio::test]
async fn a_request_waits_no_longer_than_its_bound() {
    let sandbox = Sandbox::start(&["--in-flight", "wait:50ms"]).await;
    let slow = order_with(json!({ "after_ms": 60_000 }));
    let waiter = async {
        sandbox.first_effect().await;
        sandbox.pay("k", &slow).await
    };
    tokio::select! {
        _ = sandbox.pay("k", &slow) => panic!("the slow payment ended first"),
        response = waiter => response.rejected_for_now(409, "idempotency_key_in_flight"),
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_stop_its_payment() {
    let sandbox = Sandbox::start(&["--in-flight", "wait:15s"]).await;
    let slow = order_with(json!({ "after_ms": 200 }));
    tokio::select! {
        _ = sandbox.pay("k", &slow) => panic!("the slow payment ended first"),
        _ = sandbox.first_effect() => {}
    }
    let response = sandbox.pay("k", &slow).await;
    assert_eq!(response.status, 201);
    assert!(response.is_replay());
    assert_eq!(sandbox.effects().await.len(), 1);
}

#[tokio::test]
async fn the_same_key_of_two_callers_is_two_payments() {
    let sandbox = Sandbox::start(&[]).await;
    for caller in ["Bearer alice", "bearer bob", "Basic carol"] {
        let head = sandbox.json("/payments").header("x-idempotency-key", "k");
        let response =
            sandbox.send(head.header("authorization", caller), order().to_string()).await;
        assert_eq!(response.status, 201);
        assert!(!response.is_replay());
    }
    assert!(sandbox.pay("k", &order()).await.is_replay(), "no bearer token is one caller");
    let scopes = sandbox.effects().await;
    let scopes: Vec<_> = scopes.iter().map(|effect| effect["scope"].as_str().unwrap()).collect();
    assert_eq!(scopes, ["alice", "bob", "anonymous"]);
}

#[tokio::test]
async fn a_handler_may_outlast_its_lease() {
    let sandbox = Sandbox::start(&["--lease", "60ms", "--in-flight", "wait:15s"]).await;
    let slow = order_with(json!({ "after_ms": 400 }));
    let waiter = async {
        sandbox.first_effect().await;
        sandbox.pay("k", &slow).await
    };
    let (first, second) = tokio::join!(sandbox.pay("k", &slow), waiter);
    assert_eq!(first.body, second.body);
    assert_eq!(sandbox.effects().await.len(), 1);
}

#[tokio::test]
async fn a_key_is_free_again_when_its_retention_is_over() {
    let sandbox = Sandbox::start(&["--retention", "1ms"]).await;
    let mut second = sandbox.pay("k", &order()).await;
    while second.is_replay() || sandbox.effects().await.len() < 2 {
        second = sandbox.pay("k", &order()).await;
    }
    assert_eq!(second.json()["attempt"], 1);
    assert!(second.json()["previous"].is_null());
}
