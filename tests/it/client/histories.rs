//! What happened before under a key decides what a response means.

use std::sync::Arc;

use tokio::sync::Notify;
use tower::Layer;
use tower_idempotency::IdempotencyKey;
use tower_idempotency::client::{
    ClientLayer, Disposition, ErrorKind, MemoryKeyStore, Operation, Operations, Reply,
};

use super::{Canned, Turn, ask, post, quick};
use crate::support::patiently;

const REPLAY: (&str, &str) = ("x-idempotent-result", "true");

fn once() -> ClientLayer {
    quick().max_attempts(1.try_into().unwrap())
}

async fn begun() -> (Operations<MemoryKeyStore>, Operation<MemoryKeyStore>) {
    let operations = Operations::new(MemoryKeyStore::new());
    let operation = operations.begin("payout 1").await.unwrap();
    (operations, operation)
}

async fn send(operation: &mut Operation<MemoryKeyStore>, turn: Turn) -> Option<Disposition> {
    let _ = operation.send(&mut once().layer(Canned::turns([turn])), post("/")).await;
    operation.disposition()
}

/// A load balancer's response, which says nothing about an operation that may have been done.
fn not_found() -> Turn {
    Turn::status(404)
}

#[tokio::test]
async fn a_lost_response_counts_in_later_calls_of_the_operation() {
    for lost in [Turn::Fail, Turn::Cut, Turn::status(500), Turn::status(504)] {
        let (operations, mut operation) = begun().await;
        send(&mut operation, lost).await;
        assert_eq!(send(&mut operation, not_found()).await, Some(Disposition::Unknown));
        let key = operation.key().clone();
        assert!(!operation.finish().await.unwrap());
        let mut operation = operations.begin("payout 1").await.unwrap();
        assert_eq!(operation.key(), &key);
        assert_eq!(
            send(&mut operation, Turn::response(404, &[REPLAY], "")).await,
            Some(Disposition::Final)
        );
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_counts_as_lost() {
    let (_, mut operation) = begun().await;
    let silent = Canned::ever(Turn::Hang);
    let mut client = once().layer(silent.clone());
    tokio::select! {
        _ = operation.send(&mut client, post("/")) => unreachable!("nothing comes"),
        () = silent.reached(1) => {}
    }
    assert_eq!(send(&mut operation, not_found()).await, Some(Disposition::Unknown));
}

#[tokio::test]
async fn without_the_layer_a_lost_or_dropped_call_counts_too() {
    for turn in [Turn::Fail, Turn::Hang] {
        let (_, mut operation) = begun().await;
        let mut canned = Canned::turns([turn, not_found()]);
        let asked = canned.clone();
        tokio::select! {
            response = operation.send(&mut canned, post("/")) => assert!(response.is_err()),
            () = asked.reached(1) => {}
        }
        operation.send(&mut canned, post("/")).await.unwrap();
        assert_eq!(operation.disposition(), Some(Disposition::Unknown));
    }
}

#[tokio::test]
async fn the_last_attempt_decides_whether_an_operation_can_be_finished() {
    let (_, mut operation) = begun().await;
    assert_eq!(send(&mut operation, Turn::done()).await, Some(Disposition::Final));
    assert_eq!(send(&mut operation, Turn::status(503)).await, Some(Disposition::Retry));
    assert_eq!(send(&mut operation, Turn::done()).await, Some(Disposition::Final));
    assert_eq!(send(&mut operation, Turn::Fail).await, None);
    assert!(!operation.finish().await.unwrap());
}

#[tokio::test]
async fn a_request_that_was_not_sent_changes_nothing() {
    let (_, mut operation) = begun().await;
    let mut client = once().max_request(1).layer(Canned::turns([]));
    let error = operation.send(&mut client, post("/")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.key(), error.is_in_doubt()),
        (ErrorKind::TooLarge, Some(operation.key()), false)
    );
    assert_eq!(send(&mut operation, not_found()).await, Some(Disposition::Final));
}

#[tokio::test]
async fn of_a_key_that_the_layer_did_not_make_the_history_is_not_known() {
    let key = || IdempotencyKey::parse(b"order-1001").unwrap();
    for (turn, disposition) in [
        (not_found(), Disposition::Unknown),
        (Turn::response(404, &[REPLAY], ""), Disposition::Final),
        (Turn::done(), Disposition::Final),
    ] {
        let mut request = post("/");
        request.headers_mut().insert("idempotency-key", "order-1001".parse().unwrap());
        let response = ask(quick(), Canned::turns([turn.clone()]), request).await.unwrap();
        assert_eq!(response.disposition, Some(disposition), "{turn:?}");

        let layer = quick().key_with(move |_, _| key());
        let response = ask(layer, Canned::turns([turn.clone()]), post("/")).await.unwrap();
        assert_eq!(response.disposition, Some(disposition), "{turn:?}");

        let operations = Operations::new(MemoryKeyStore::new());
        let mut operation = operations.begin_with_key("payout 1", key()).await.unwrap();
        assert_eq!(send(&mut operation, turn.clone()).await, Some(disposition), "{turn:?}");
    }
}

#[tokio::test]
async fn responses_of_other_clients_are_judged_in_the_same_way() {
    let headers = http::HeaderMap::new();
    let not_found = Reply::new(404_u16, &headers).body(b"");
    let (_, mut operation) = begun().await;
    operation.mark(&mut post("/"));
    assert_eq!(operation.note(not_found), Disposition::Final);
    // An attempt that was marked but never noted counts as lost.
    operation.mark(&mut post("/"));
    operation.mark(&mut post("/"));
    assert_eq!(operation.note(not_found), Disposition::Unknown);
    assert_eq!(operation.note(Reply::new(201_u16, &headers)), Disposition::Final);
    assert_eq!(operation.disposition(), Some(Disposition::Final));
    operation.mark(&mut post("/"));
    assert_eq!(operation.disposition(), None);
    assert!(!operation.finish().await.unwrap());
}

#[tokio::test]
async fn two_calls_at_once_under_one_key_share_its_history() {
    let (_, operation) = begun().await;
    let (arrived, may_go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (arrived, may_go) = (Arc::clone(&arrived), Arc::clone(&may_go));
        tower::service_fn(move |_: http::Request<http_body_util::Full<bytes::Bytes>>| {
            let (arrived, may_go) = (Arc::clone(&arrived), Arc::clone(&may_go));
            async move {
                arrived.notify_one();
                may_go.notified().await;
                Ok::<_, std::io::Error>(
                    http::Response::builder().status(404).body(String::new()).unwrap(),
                )
            }
        })
    };
    let (mut first, mut second) = (post("/"), post("/"));
    operation.mark(&mut first);
    let judged = tokio::spawn(ask(once(), slow, first));
    patiently(arrived.notified()).await;
    operation.mark(&mut second);
    ask(once(), Canned::turns([Turn::Fail]), second).await.unwrap_err();
    may_go.notify_one();
    assert_eq!(judged.await.unwrap().unwrap().disposition, Some(Disposition::Unknown));
}

#[tokio::test]
async fn after_a_success_an_unmarked_rejection_is_not_the_response_of_the_operation() {
    let (operations, mut operation) = begun().await;
    assert_eq!(send(&mut operation, Turn::done()).await, Some(Disposition::Final));
    assert_eq!(send(&mut operation, not_found()).await, Some(Disposition::Unknown));
    assert!(!operation.finish().await.unwrap());
    assert_eq!(operations.pending().await.unwrap().len(), 1);
}
