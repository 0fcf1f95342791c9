//! What makes two requests the same, and what a key gets that comes back with another one.

use std::time::Duration;

use http::{StatusCode, header};
use tower_idempotency::InFlight;

use crate::support::{Call, Effects, Gate, Server, app, call, counting, layer, patch, post};

fn payment() -> Call {
    post("/payments?currency=EUR&to=acct_2").key("order-1001")
}

/// The payment with another method, path, query, content type, content encoding or body.
fn others() -> Vec<(&'static str, Call)> {
    let json = |call: Call| call.header("Content-Type", "application/json").body("amount=1200");
    let to = |path: &str| json(post(path).key("order-1001"));
    vec![
        ("method", json(patch("/payments?currency=EUR&to=acct_2").key("order-1001"))),
        ("path", to("/refunds?currency=EUR&to=acct_2")),
        ("end of the path", to("/payments/?currency=EUR&to=acct_2")),
        ("case of the path", to("/Payments?currency=EUR&to=acct_2")),
        ("query", to("/payments?currency=EUR&to=acct_3")),
        ("order of the query", to("/payments?to=acct_2&currency=EUR")),
        ("no query", to("/payments")),
        ("content type", payment().header("Content-Type", "text/plain").body("amount=1200")),
        ("no content type", payment().body("amount=1200")),
        ("content encoding", json(payment().header("Content-Encoding", "gzip"))),
        ("body", payment().header("Content-Type", "application/json").body("amount=1300")),
        ("longer body", payment().header("Content-Type", "application/json").body("amount=12000")),
        ("empty body", payment().header("Content-Type", "application/json")),
    ]
}

fn same() -> Call {
    payment().header("Content-Type", "application/json").body("amount=1200")
}

#[tokio::test]
async fn a_key_for_another_request_is_rejected_for_good() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    let first = same().send(&server).await;
    first.assert_first(200, "run 1");

    for (what, other) in others() {
        let response = other.send(&server).await;
        println!("another {what}");
        response.assert_rejected(409, "idempotency_key_reused");
        assert_eq!(response.header("x-should-retry"), Some("false"));
        assert_eq!(response.header("retry-after"), None);
    }
    same().send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_key_for_another_request_is_rejected_while_the_first_is_in_flight() {
    let effects = Effects::new();
    let gate = Gate::new();
    let handler_gate = gate.clone();
    let router = app(&effects, move |_| {
        let gate = handler_gate.clone();
        async move { gate.passed().await }
    });
    // A request must not wait for the response to another one.
    let layer = layer().in_flight(InFlight::Wait(Duration::from_hours(1)));
    let server = Server::start(router.layer(layer)).await;

    let running = same().begin(&server, usize::MAX).await;
    effects.reached(1).await;
    for (_, other) in others() {
        other.send(&server).await.assert_rejected(409, "idempotency_key_reused");
    }
    gate.open();
    assert_eq!(same().finish(running).await.status, 200);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_key_for_another_request_is_rejected_after_a_failed_attempt() {
    let effects = Effects::new();
    let router = app(&effects, |_| async { StatusCode::BAD_GATEWAY });
    let server = Server::start(router.layer(layer())).await;

    assert_eq!(same().send(&server).await.status, 502);
    for (_, other) in others() {
        other.send(&server).await.assert_rejected(409, "idempotency_key_reused");
    }
    assert_eq!(effects.count(), 1);
    assert_eq!(same().send(&server).await.status, 502);
    assert_eq!(effects.count(), 2, "the same request runs again");
}

#[tokio::test]
async fn headers_count_only_if_they_were_chosen() {
    let effects = Effects::new();
    let layer = layer().fingerprint_headers([header::ACCEPT]);
    let server = Server::start(counting(&effects).layer(layer)).await;
    let accepts = |types: &[&str]| {
        types.iter().fold(post("/").key("order-1001"), |call, accept| call.header("Accept", accept))
    };

    let first = accepts(&["text/plain"]).header("User-Agent", "one").send(&server).await;
    let other_agent = accepts(&["text/plain"]).header("User-Agent", "two").header("X-Trace", "2");
    other_agent.send(&server).await.assert_replays(&first);
    for other in
        [&["text/html"][..], &["text/plain", "text/html"], &["text/plain", "text/plain"], &[]]
    {
        accepts(other).send(&server).await.assert_rejected(409, "idempotency_key_reused");
    }
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn how_the_body_was_framed_does_not_count() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    let first = same().send(&server).await;
    same().chunked().send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn every_byte_of_a_large_body_counts() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    let mut body = vec![b'a'; 1 << 20];
    let first = post("/").key("order-1001").body(&body).send(&server).await;

    for index in [0, 8191, 1 << 19, (1 << 20) - 1] {
        body[index] = b'b';
        let response = call("POST", "/").key("order-1001").body(&body).send(&server).await;
        response.assert_rejected(409, "idempotency_key_reused");
        body[index] = b'a';
    }
    post("/").key("order-1001").body(&body).send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}
