use axum::body::Body;
use serde_json::json;

use super::server::{Sandbox, order};

#[tokio::test]
async fn a_payment_is_created_and_its_effect_listed() {
    let sandbox = Sandbox::start(&[]).await;
    let head = sandbox.json("/payments").header("x-idempotency-key", "pay-1");
    let response =
        sandbox.send(head.header("authorization", "Bearer alice"), order().to_string()).await;

    assert_eq!(response.status, 201);
    assert_eq!(response.header("content-type"), Some("application/json"));
    let payment = response.json();
    let id = payment["id"].as_str().unwrap();
    assert_eq!(response.header("location"), Some(&*format!("/payments/{id}")));
    assert_eq!(payment["amount"], 1200);
    assert_eq!(payment["currency"], "EUR");
    assert_eq!(payment["to"], "acct_2");
    assert_eq!(payment["attempt"], 1);
    assert!(payment["previous"].is_null());
    assert!(payment["created_at"].is_u64());

    let effect = json!({
        "key": "pay-1", "scope": "alice", "attempt": 1, "id": id, "at": payment["created_at"],
    });
    assert_eq!(sandbox.effects().await, [effect]);
}

#[tokio::test]
async fn the_ledger_of_the_page_says_what_was_paid_and_the_order_that_a_body_names() {
    let sandbox = Sandbox::start(&[]).await;
    let receipt = sandbox.send(sandbox.json("/payments"), order().to_string()).await.json();
    let number = "with \u{20ac} and \"quotes\"";
    let mut named = order();
    named["order"] = json!(number);
    assert_eq!(sandbox.send(sandbox.json("/payments"), named.to_string()).await.status, 201);

    let ledger = sandbox.get("/ledger").await.json();
    let payment = json!({
        "key": null, "scope": "anonymous", "attempt": 1, "id": receipt["id"], "at": receipt["created_at"],
        "amount": 1200, "currency": "EUR", "to": "acct_2",
    });
    assert_eq!(ledger[0], payment);
    assert_eq!(ledger[1]["order"], number);
}

#[tokio::test]
async fn without_a_key_each_payment_is_a_new_one() {
    let sandbox = Sandbox::start(&[]).await;
    for _ in 0..2 {
        let response = sandbox.send(sandbox.json("/payments"), order().to_string()).await;
        assert_eq!(response.status, 201);
    }
    let effects = sandbox.effects().await;
    assert_eq!(effects.len(), 2);
    assert!(effects[0]["key"].is_null());
    assert_eq!(effects[0]["scope"], "anonymous");
    assert_ne!(effects[0]["id"], effects[1]["id"]);
}

#[tokio::test]
async fn a_refund_is_another_operation_than_the_payment() {
    let sandbox = Sandbox::start(&[]).await;
    let refund = async |key: &str| {
        let head = sandbox.json("/payments/pay_1/refunds").header("x-idempotency-key", key);
        sandbox.send(head, order().to_string()).await
    };
    let first = refund("refund").await;
    assert_eq!(first.status, 201);
    let id = first.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(first.header("location"), Some(&*format!("/payments/pay_1/refunds/{id}")));
    assert!(refund("refund").await.is_replay());

    assert_eq!(sandbox.pay("payment", &order()).await.status, 201);
    refund("payment").await.rejected_for_good("idempotency_key_reused");
    assert_eq!(sandbox.effects().await.len(), 2);
}

#[tokio::test]
async fn an_echo_is_the_body_byte_for_byte_and_so_is_its_replay() {
    let sandbox = Sandbox::start(&[]).await;
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for replay in [false, true] {
        let head = sandbox.request("POST", "/echo").header("x-idempotency-key", "echo-1");
        let response =
            sandbox.send(head.header("content-type", "image/x-noise"), bytes.clone()).await;
        assert_eq!(response.status, 200);
        assert_eq!(response.header("content-type"), Some("image/x-noise"));
        assert_eq!(response.body, bytes);
        assert_eq!(response.is_replay(), replay);
    }
    let plain = sandbox.send(sandbox.request("POST", "/echo"), Body::empty()).await;
    assert_eq!(plain.header("content-type"), None);
    assert!(plain.body.is_empty());
}

#[tokio::test]
async fn a_sandbox_without_a_ledger_file_lists_its_effects_too() {
    let sandbox = Sandbox::start_without_ledger(&[]).await;
    assert_eq!(sandbox.effects().await, [] as [serde_json::Value; 0]);
    assert_eq!(sandbox.pay("memory", &order()).await.status, 201);
    assert_eq!(sandbox.effects().await[0]["key"], "memory");
}

#[tokio::test]
async fn a_sandbox_lists_what_another_process_wrote_into_the_ledger() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = directory.path().join("ledger");
    let one = Sandbox::start_with(&ledger, &[]).await;
    let other = Sandbox::start_with(&ledger, &[]).await;
    assert_eq!(one.pay("a", &order()).await.status, 201);
    assert_eq!(other.pay("b", &order()).await.status, 201);
    assert_eq!(one.effects().await, other.effects().await);
    assert_eq!(one.effects().await.len(), 2);
}

#[tokio::test]
async fn a_sandbox_whose_store_replies_is_healthy() {
    let sandbox = Sandbox::start(&[]).await;
    assert_eq!(sandbox.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn the_document_describes_the_sandbox_as_it_was_started() {
    let sandbox =
        Sandbox::start(&["--profile", "ietf", "--require-key", "--on-failed", "refuse"]).await;
    let document = sandbox.get("/openapi.json").await.json();
    for (path, item) in document["paths"].as_object().unwrap() {
        let Some(read) = item.get("get") else { continue };
        let response = sandbox.get(path).await;
        let media_types = read["responses"]["200"]["content"].as_object();
        let content_type = response.header("content-type").unwrap().split(';').next().unwrap();
        assert_eq!(response.status, 200, "{path}");
        assert!(media_types.is_none_or(|types| types.contains_key(content_type)), "{path}");
    }
    for path in ["/payments", "/payments/{id}/refunds", "/echo"] {
        let operation = &document["paths"][path]["post"];
        let key = &operation["parameters"][0];
        assert_eq!((&key["name"], &key["required"]), (&json!("Idempotency-Key"), &json!(true)));
        let codes = |status| {
            let content = &operation["responses"][status]["content"]["application/problem+json"];
            content["schema"]["allOf"][1]["properties"]["code"]["enum"].to_string()
        };
        assert!(codes("409").contains("idempotency_attempt_failed"), "{path}");
        assert!(codes("422").contains("idempotency_key_reused"), "{path}");
    }
}

#[tokio::test]
async fn a_request_to_nowhere_leaves_the_key_free() {
    let sandbox = Sandbox::start(&[]).await;
    let head = sandbox.json("/nowhere").header("x-idempotency-key", "k");
    assert_eq!(sandbox.send(head, order().to_string()).await.status, 404);
    assert_eq!(sandbox.pay("k", &order()).await.status, 201);
}
