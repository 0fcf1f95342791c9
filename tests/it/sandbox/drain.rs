use serde_json::json;

use super::server::{Sandbox, order, order_with};

/// Pays under new keys until the sandbox begins nothing more.
async fn rejected(sandbox: &Sandbox) {
    for number in 0.. {
        let response = sandbox.pay(&format!("new-{number}"), &order()).await;
        if response.status != 201 {
            return response.rejected_for_now(503, "idempotency_shutting_down");
        }
    }
}

#[tokio::test]
async fn sigterm_begins_nothing_new_lets_a_running_payment_finish_and_exits_0() {
    let mut sandbox = Sandbox::start(&[]).await;
    let slow = order_with(json!({ "after_ms": 1000 }));
    let stop = async {
        sandbox.first_effect().await;
        sandbox.signal("TERM");
        rejected(&sandbox).await;
        sandbox.pay("k", &slow).await.rejected_for_now(503, "idempotency_shutting_down");
    };
    let mut payment = Box::pin(sandbox.pay("k", &slow));
    tokio::select! {
        biased;
        _ = &mut payment => panic!("the payment ended before others were rejected"),
        () = stop => {}
    }
    let response = payment.await;
    assert_eq!(response.status, 201);
    assert_eq!(response.json()["attempt"], 1);
    assert_eq!(sandbox.ended().await.code(), Some(0));
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn sigterm_waits_for_a_payment_whose_client_has_hung_up() {
    let redis = crate::support::redis::RedisServer::start();
    let url = redis.url();
    let flags = ["--store", &url];
    let mut sandbox = Sandbox::start(&flags).await;
    let slow = order_with(json!({ "after_ms": 700 }));
    tokio::select! {
        _ = sandbox.pay("k", &slow) => panic!("the payment ended before its client hung up"),
        _ = sandbox.first_effect() => {}
    }
    sandbox.signal("TERM");
    assert_eq!(sandbox.ended().await.code(), Some(0));

    let next = Sandbox::start(&flags).await;
    let replay = next.pay("k", &slow).await;
    assert!(replay.is_replay(), "{replay:?}");
    assert_eq!((replay.status.as_u16(), replay.json()["attempt"].as_u64()), (201, Some(1)));
}

#[tokio::test]
async fn sigint_and_sigterm_end_an_idle_sandbox_with_exit_0() {
    for signal in ["INT", "TERM"] {
        let mut sandbox = Sandbox::start(&[]).await;
        // The client keeps its connection open.
        assert_eq!(sandbox.pay("k", &order()).await.status, 201);
        assert!(sandbox.runs());
        sandbox.signal(signal);
        assert_eq!(sandbox.ended().await.code(), Some(0), "SIG{signal}");
    }
}
