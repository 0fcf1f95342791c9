//! The handler's word on its own response, in transaction mode.

use std::time::Duration;

use axum::Router;
use axum::routing::post as route;
use http::StatusCode;
use sqlx::Sqlite;
use tower_idempotency::store::DynStore;
use tower_idempotency::{ResponseDirective, StoredResponse, Tx};

use crate::support::databases::{Base, Lite};
use crate::support::{Server, WireResponse, layer_over, post};

async fn twice(server: &Server) -> [WireResponse; 2] {
    let call = post("/").key("order-1001").body("body");
    [call.send(server).await, call.send(server).await]
}

/// A route whose handler inserts a row and then says so.
async fn saying(base: &Lite, status: u16, directive: ResponseDirective) -> Server {
    let handler = async move |mut tx: Tx<Sqlite>| {
        Lite::run(&mut tx, "INSERT INTO orders VALUES ('book')".into()).await.unwrap();
        (StatusCode::from_u16(status).unwrap(), directive, "done")
    };
    let router = Router::new().route("/", route(handler));
    let guard =
        layer_over(DynStore::new(base.store().await)).store_timeout(Duration::from_secs(10));
    Server::start(router.layer(guard)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn success_is_stored_whatever_the_status_and_commits_what_the_status_says() {
    for (status, rows) in [(200, 1), (422, 0), (500, 0)] {
        let base = Lite::start().await;
        let server = saying(&base, status, ResponseDirective::success()).await;
        let [first, second] = twice(&server).await;
        first.assert_first(status, "done");
        second.assert_replays(&first);
        assert_eq!(
            (base.orders().await.len(), base.records().await),
            (rows, vec!["success".to_owned()])
        );
        base.at_rest().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn discard_rolls_back_whatever_the_status() {
    let base = Lite::start().await;
    let server = saying(&base, 201, ResponseDirective::discard()).await;
    for response in twice(&server).await {
        response.assert_first(201, "done");
    }
    assert!(base.orders().await.is_empty() && base.records().await.is_empty());
    base.at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_rolls_back_and_is_remembered() {
    let base = Lite::start().await;
    let server = saying(&base, 201, ResponseDirective::failed()).await;
    for response in twice(&server).await {
        response.assert_first(201, "done");
    }
    assert!(base.orders().await.is_empty());
    assert_eq!(base.records().await, ["failed"]);
    base.at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abandoned_rolls_back_and_is_remembered_as_a_failure() {
    let base = Lite::start().await;
    let server = saying(&base, 504, ResponseDirective::abandoned()).await;
    for response in twice(&server).await {
        response.assert_first(504, "done");
    }
    assert!(base.orders().await.is_empty());
    assert_eq!(base.records().await, ["failed"]);
    base.at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_response_and_retention_are_heeded() {
    let base = Lite::start().await;
    let directive = ResponseDirective::new()
        .stored_response(StoredResponse::Status)
        .retention(Duration::from_hours(1000));
    let server = saying(&base, 201, directive).await;
    let [first, second] = twice(&server).await;
    first.assert_first(201, "done");
    assert_eq!((second.status, second.text(), second.is_replay()), (201, "", true));
    let days = "SELECT CAST(julianday(expires_at) - julianday('now') AS INTEGER) || '' FROM idempotency_records";
    assert_eq!(base.ask(days).await, ["41"]);
    assert_eq!(base.orders().await.len(), 1);
    base.at_rest().await;
}
