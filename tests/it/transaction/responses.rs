//! Responses of every kind are stored beside the rows.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request};
use axum::response::IntoResponse;
use axum::routing::post;
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_idempotency::{PostgresStore, Tx};

use super::script::{Stage, app, ask, layer};
use crate::support::Frames;
use crate::support::databases::{Base, Pg};
use crate::support::postgres::{PgBouncer, pool};

on_both! {
    savepoints_are_the_handlers_own
    large_and_binary_responses_with_many_headers_and_trailers_are_replayed_byte_for_byte
    a_response_that_is_not_stored_is_committed_and_rejected_afterwards
}

async fn savepoints_are_the_handlers_own<B: Base>() {
    let (base, stage) = (B::start().await, Stage::new());
    let app = app::<B, _>(layer(base.store().await), &stage);
    ask(&app, "key", "insert book; savepoints; insert pen").await.is_first(201, "attempt 1");
    assert_eq!(base.orders().await, ["book", "inner", "pen"]);
    ask(&app, "failed", "savepoints; status 500").await.is_first(500, "attempt 1");
    assert_eq!(base.orders().await, ["book", "inner", "pen"]);
    base.at_rest().await;
}

async fn exchange(router: &Router, key: &str) -> (HeaderMap, Vec<u8>, Option<HeaderMap>) {
    let request = Request::post("/").header("x-idempotency-key", key).body(Body::empty()).unwrap();
    let (head, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned();
    assert_eq!(head.status, 200);
    (head.headers, body.to_bytes().into(), trailers)
}

async fn large_and_binary_responses_with_many_headers_and_trailers_are_replayed_byte_for_byte<
    B: Base,
>() {
    let base = B::start().await;
    let response = async |mut tx: Tx<B::Db>| {
        B::run(&mut tx, "INSERT INTO orders VALUES ('book')".into()).await.unwrap();
        let bytes: Vec<u8> = (0..1_u32 << 20).map(|number| (number % 251) as u8).collect();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", HeaderValue::from_static("17"));
        let mut response = Body::new(Frames::known(&[&bytes]).trailers(trailers)).into_response();
        for number in 0..100 {
            let value =
                HeaderValue::from_bytes(format!("{number} \u{e9}'\\\"$1").as_bytes()).unwrap();
            response.headers_mut().append("x-many", value);
        }
        response
    };
    let router = Router::new().route("/", post(response)).layer(layer(base.store().await));
    let (headers, body, trailers) = exchange(&router, "key").await;
    let (mut replayed, body_again, trailers_again) = exchange(&router, "key").await;
    assert_eq!(replayed.remove("x-idempotent-result").unwrap(), "true");
    assert!(body.len() == 1 << 20 && body == body_again);
    let many = |headers: &HeaderMap| headers.get_all("x-many").iter().cloned().collect::<Vec<_>>();
    assert_eq!((many(&headers).len(), many(&headers)), (100, many(&replayed)));
    assert!(trailers.is_some());
    assert_eq!(trailers, trailers_again);
    assert_eq!(base.orders().await, ["book"]);
    base.at_rest().await;
}

async fn a_response_that_is_not_stored_is_committed_and_rejected_afterwards<B: Base>() {
    let (base, stage) = (B::start().await, Stage::new());
    let app = app::<B, _>(layer(base.store().await).max_response(4), &stage);
    ask(&app, "key", "insert book").await.is_first(201, "attempt 1");
    ask(&app, "key", "insert book").await.is_rejected(409, "idempotency_result_not_retained");
    assert_eq!(base.orders().await, ["book"]);
    base.at_rest().await;
}

/// One end after another, and each leaves the connections of the pooler as it found them.
async fn all_ends(base: &Pg, router: &Router) {
    let first = ask(router, "201", "insert book").await;
    first.is_first(201, "attempt 1");
    ask(router, "201", "insert book").await.replays(&first);
    for status in [404, 422, 500] {
        ask(router, &status.to_string(), &format!("insert book; status {status}"))
            .await
            .is_first(status, "attempt 1");
    }
    ask(router, "500", "insert book; status 500")
        .await
        .is_first(500, "attempt 2 after Failed { status: Some(500) }");
    for (key, end) in [("one", "COMMIT"), ("two", "ROLLBACK")] {
        let lost = ask(router, key, &format!("sql {end}")).await;
        lost.is_rejected(500, "idempotency_transaction_lost");
    }
    assert_eq!(base.orders().await, ["book"]);
    assert_eq!(base.records().await, ["failed", "pending", "pending", "success", "success"]);
    base.at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_hands_out_connections_by_transaction_may_be_in_between() {
    let (base, stage) = (Pg::start().await, Stage::new());
    let bouncer = PgBouncer::before(&base.server);
    let store = PostgresStore::new(pool(bouncer.port(), 20)).persistent(false);
    let router = app::<Pg, _>(layer(store.in_transaction()), &stage);
    all_ends(&base, &router).await;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..60 {
        let router = router.clone();
        let key = format!("many {}", client / 3).replace(' ', "-");
        clients.spawn(async move {
            super::script::persist(&router, &key, &format!("insert {key}")).await
        });
    }
    assert!(clients.join_all().await.iter().all(|response| response.status == 201));
    assert_eq!(base.orders().await.len(), 21);
    base.at_rest().await;
}
