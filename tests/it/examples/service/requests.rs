use std::io::Read;

use axum::body::Body;
use flate2::read::GzDecoder;

use super::{Stores, assert_made, order, pay, payment, place, send};

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_and_an_order_are_made_once_and_replayed() {
    for stores in Stores::all().await {
        let service = stores.start().await;
        let (paid, placed) = (pay(&service, "k").await, place(&service, "k").await);
        for (first, again) in
            [(paid, pay(&service, "k").await), (placed, place(&service, "k").await)]
        {
            assert_made(&first, false);
            assert_made(&again, true);
            assert_eq!(again.body, first.body);
        }
        send(&service, "/v1/payments", "token-of-alice", "k", &order())
            .await
            .rejected_for_good("idempotency_key_reused");
        assert_eq!(stores.books().await, (1, 998));
        assert_eq!(service.get("/healthz").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refreshed_token_gets_the_replay_and_another_account_an_operation_of_its_own() {
    for stores in Stores::all().await {
        let service = stores.start().await;
        for (path, body) in [("/v1/payments", payment()), ("/v1/orders", order())] {
            for (token, is_replay) in
                [("token-of-alice", false), ("new-token-of-alice", true), ("token-of-bob", false)]
            {
                assert_made(&send(&service, path, token, "k", &body).await, is_replay);
            }
            let unknown = send(&service, path, "token-of-nobody", "k", &body).await;
            assert_eq!((unknown.status.as_u16(), unknown.body.len()), (401, 0));
            let anonymous = service.json(path).header("x-idempotency-key", "k");
            assert_eq!(service.send(anonymous, body.to_string()).await.status, 401);
            let without_key = service.json(path).header("authorization", "Bearer token-of-bob");
            let rejected = service.send(without_key, body.to_string()).await;
            rejected.rejected(400, "idempotency_key_missing");
        }
        assert_eq!(stores.books().await, (2, 996));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_more_than_is_left_is_rolled_back_and_its_response_is_replayed() {
    let many = serde_json::json!({ "item": "book", "quantity": 1001 });
    for stores in Stores::all().await {
        let service = stores.start().await;
        for is_replay in [false, true] {
            let response = send(&service, "/v1/orders", "token-of-alice", "k", &many).await;
            assert_eq!((response.status.as_u16(), response.is_replay()), (409, is_replay));
            assert_eq!(response.json()["error"], "not enough is left");
        }
        assert_eq!(stores.books().await, (0, 1000));
    }
}

#[tokio::test]
async fn a_page_may_send_a_key_and_read_the_marker_of_a_replay() {
    let stores = Stores::embedded().with("ORIGIN", "https://shop.example");
    let service = stores.start().await;
    let preflight = service
        .request("OPTIONS", "/v1/payments")
        .header("origin", "https://shop.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type,x-idempotency-key");
    let allowed = service.send(preflight, Body::empty()).await;
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://shop.example"));
    assert!(allowed.header("access-control-allow-headers").unwrap().contains("x-idempotency-key"));
    for is_replay in [false, true] {
        let response = pay(&service, "k").await;
        assert_made(&response, is_replay);
        let exposed = response.header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("x-idempotent-result"), "{exposed}");
        assert_eq!(response.header("access-control-allow-origin"), Some("https://shop.example"));
    }
}

#[tokio::test]
async fn a_response_and_its_replay_are_compressed_for_a_client_that_asks_for_it() {
    let stores = Stores::embedded();
    let service = stores.start().await;
    let compressed = async || {
        let head = service.json("/v1/payments").header("x-idempotency-key", "k");
        let head = head.header("authorization", "Bearer token-of-alice");
        service.send(head.header("accept-encoding", "gzip"), payment().to_string()).await
    };
    let (first, plain, again) = (compressed().await, pay(&service, "k").await, compressed().await);
    assert_made(&plain, true);
    assert_eq!(plain.header("content-encoding"), None);
    for (response, is_replay) in [(first, false), (again, true)] {
        assert_made(&response, is_replay);
        assert_eq!(response.header("content-encoding"), Some("gzip"));
        let mut body = Vec::new();
        GzDecoder::new(&*response.body).read_to_end(&mut body).unwrap();
        assert_eq!(body, plain.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_timeout_a_retry_is_in_doubt_and_finds_the_charge_that_was_made() {
    for stores in Stores::all().await {
        let stores =
            stores.with("HANDLER_TIMEOUT_MS", "100").with("PROVIDER_LATENCY_MS", "3600000");
        let service = stores.start().await;
        assert_eq!(pay(&service, "k").await.status, 504);
        let retry = pay(&service, "k").await;
        assert_made(&retry, false);
        let paid = retry.json();
        assert_eq!((&paid["attempt"], &paid["id"]), (&2.into(), &"ch_1_1_1200".into()));
    }
}

#[tokio::test]
async fn the_span_of_a_request_and_the_metrics_show_a_replay() {
    let stores = Stores::embedded();
    let service = stores.start().await;
    for _ in 0..2 {
        pay(&service, "k").await;
    }
    let log = stores.log();
    for fields in [
        "idempotency.attempt=1 idempotency.outcome=\"executed\"",
        "idempotency.outcome=\"replayed\"",
    ] {
        assert!(log.contains(fields), "{log}");
    }
    assert!(!log.contains("Bearer") && !log.contains("token-of-alice"), "{log}");
    let metrics = service.get("/metrics").await.body;
    let metrics = String::from_utf8_lossy(&metrics);
    let replayed = "idempotency_requests_total{result=\"replayed\",namespace=\"payments\",\
                    route=\"POST /v1/payments\"} 1";
    assert!(metrics.contains(replayed), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_in_the_way_of_another_transaction_runs_again() {
    let stores = Stores::on_servers(&["default_transaction_isolation=serializable"]).await;
    let service = stores.start().await;
    let mut other = stores.postgres().await;
    let mut transaction = sqlx::Connection::begin(&mut other).await.unwrap();
    sqlx::query("UPDATE stock SET quantity = 500").execute(&mut *transaction).await.unwrap();
    let (response, ()) = tokio::join!(place(&service, "k"), async {
        stores.order_waits().await;
        transaction.commit().await.unwrap();
    });
    assert_made(&response, false);
    assert_eq!(stores.books().await, (1, 498));
}
