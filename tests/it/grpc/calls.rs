//! Calls that run once, and the responses to their retries.

use std::time::Duration;

use http::Method;
use tokio::task::JoinSet;
use tonic::metadata::{BinaryMetadataValue as Bytes, MetadataMap};
use tonic::{Code, Request, Response, Status};
use tower_idempotency::InFlight;

use super::bank::{
    CallResult, Order, assert_first, assert_rejected, assert_replays, call, counting, receipt,
    start,
};
use crate::support::{Arrived, Effects, Gate, Server, TestLayer, layer};

const WAIT: InFlight = InFlight::Wait(Duration::from_mins(1));

/// Starts a server whose handler waits at the gate.
async fn gated(layer: TestLayer, effects: &Effects, gate: &Gate) -> Server {
    let gate = gate.clone();
    let response = move |_| {
        let gate = gate.clone();
        async move {
            gate.passed().await;
            Ok(receipt("done"))
        }
    };
    start(layer, effects, response).await
}

fn mark(metadata: &mut MetadataMap) {
    metadata.append("x-account", "acct_2".parse().unwrap());
    metadata.append("x-account", "acct_1".parse().unwrap());
    metadata.insert_bin("x-proof-bin", Bytes::from_bytes(&[0, 255, 1]));
}

#[track_caller]
fn assert_marked(metadata: &MetadataMap) {
    assert_eq!(metadata.get_all("x-account").iter().collect::<Vec<_>>(), ["acct_2", "acct_1"]);
    assert_eq!(metadata.get_bin("x-proof-bin").unwrap().to_bytes().unwrap(), &[0, 255, 1][..]);
}

#[tokio::test]
async fn a_unary_call_runs_once_and_its_retry_gets_the_message_and_the_metadata() {
    let effects = Effects::new();
    let server = start(layer(), &effects, async |order: Request<Order>| {
        let mut response = receipt(format!("sent to {}", order.get_ref().to));
        mark(response.metadata_mut());
        Ok(response)
    });
    let server = server.await;

    let first = call("order-1001").send(&server).await;
    assert_first(&first, "sent to acct_2");
    let replay = call("order-1001").send(&server).await;
    assert_replays(&replay, "sent to acct_2");
    for response in [first, replay] {
        assert_marked(response.unwrap().metadata());
    }
    assert_first(&call("order-1002").to("acct_3").send(&server).await, "sent to acct_3");
    assert_eq!(effects.count(), 2);
    assert_eq!(effects.heads()[0].method, Method::POST);
    assert_eq!(effects.attempts(), [(1, None), (1, None)], "the handler can see the attempt");
}

#[tokio::test]
async fn a_definitive_status_is_replayed_with_its_details_and_metadata() {
    let effects = Effects::new();
    let server = start(layer(), &effects, async |_| {
        let mut status =
            Status::with_details(Code::NotFound, "no such account: \u{e9}%", (&[8, 5][..]).into());
        mark(status.metadata_mut());
        Err(status)
    });
    let server = server.await;
    for replayed in [false, true] {
        let status = call("order-1001").send(&server).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::NotFound, "no such account: \u{e9}%"));
        assert_eq!(status.details(), [8, 5]);
        assert_marked(status.metadata());
        assert_eq!(status.metadata().contains_key("x-idempotent-result"), replayed);
    }
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_call_without_a_key_is_not_guarded() {
    let effects = Effects::new();
    let server = counting(layer(), &effects).await;
    for run in ["run 1", "run 2"] {
        assert_first(&call("").without_key().send(&server).await, run);
    }
}

#[tokio::test]
async fn of_concurrent_duplicates_one_runs_and_the_others_get_its_response() {
    let (effects, gate, arrived) = (Effects::new(), Gate::new(), Arrived::new());
    let server = gated(arrived.counted(layer().in_flight(WAIT)), &effects, &gate).await;
    let server = std::sync::Arc::new(server);
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let server = server.clone();
        calls.spawn(async move { call("order-1001").send(&server).await });
    }
    arrived.reached(20).await;
    gate.open();
    let responses: Vec<CallResult> = calls.join_all().await;
    let is_replay = |response: &&CallResult| {
        response
            .as_ref()
            .is_ok_and(|response| response.metadata().contains_key("x-idempotent-result"))
    };
    assert_eq!(responses.iter().filter(is_replay).count(), 19);
    assert!(
        responses
            .into_iter()
            .all(|response| response.map(Response::into_inner).unwrap().text == "done")
    );
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_client_that_cancels_in_mid_call_finds_its_response_later() {
    let (effects, gate, arrived) = (Effects::new(), Gate::new(), Arrived::new());
    let server = gated(arrived.counted(layer().in_flight(WAIT)), &effects, &gate).await;
    let server = std::sync::Arc::new(server);
    let caller = server.clone();
    let cancelled = tokio::spawn(async move { call("order-1001").send(&caller).await });
    effects.reached(1).await;
    cancelled.abort();
    assert!(cancelled.await.unwrap_err().is_cancelled());
    server.ended(1).await;

    let caller = server.clone();
    let retry = tokio::spawn(async move { call("order-1001").send(&caller).await });
    arrived.reached(2).await;
    gate.open();
    assert_replays(&retry.await.unwrap(), "done");
    assert_eq!(effects.attempts(), [(1, None)]);
}

#[tokio::test]
async fn a_response_over_the_limit_reaches_the_client_whole_and_its_call_is_not_made_again() {
    let effects = Effects::new();
    let long = "0123456789".repeat(30_000);
    let text = long.clone();
    let server = start(layer().max_response(1_000), &effects, move |_| {
        let text = text.clone();
        async move { Ok(receipt(text)) }
    });
    let server = server.await;
    assert_first(&call("order-1001").send(&server).await, &long);
    for _ in 0..2 {
        let retry = call("order-1001").send(&server).await;
        assert_rejected(&retry, Code::AlreadyExists, "IDEMPOTENCY_RESULT_NOT_RETAINED");
    }
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_response_of_exactly_the_limit_is_stored() {
    // Five bytes in front of the message, two in front of the text.
    for (limit, stored) in [(5 + 2 + 4, true), (5 + 2 + 3, false)] {
        let effects = Effects::new();
        let server =
            start(layer().max_response(limit), &effects, async |_| Ok(receipt("text"))).await;
        assert_first(&call("order-1001").send(&server).await, "text");
        let retry = call("order-1001").send(&server).await;
        if stored {
            assert_replays(&retry, "text");
        } else {
            assert_rejected(&retry, Code::AlreadyExists, "IDEMPOTENCY_RESULT_NOT_RETAINED");
        }
    }
}
