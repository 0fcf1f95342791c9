//! Every rejection that a client can meet, as tonic's client reads it.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use tonic::Code;
use tower_idempotency::Rejection;
use tower_idempotency::store::{DynStore, StoreErrorKind};

use super::bank::{assert_first, assert_rejected, assert_replays, call, counting, receipt, start};
use crate::support::{
    Effects, Fault, Gate, Operation, Scripted, layer, layer_over, patiently, store,
};

#[tokio::test]
async fn another_call_under_the_same_key_is_told_that_it_exists() {
    let effects = Effects::new();
    let server = counting(layer(), &effects).await;
    assert_first(&call("order-1001").send(&server).await, "run 1");
    let rejected = call("order-1001").to("acct_3").send(&server).await;
    let details = assert_rejected(&rejected, Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED");
    let page = details.error_info().unwrap().metadata["type"].clone();
    assert!(page.ends_with("#variant.KeyReused"), "{page}");
    assert!(!format!("{rejected:?}").contains("order-1001"), "no rejection contains the key");
    assert_replays(&call("order-1001").send(&server).await, "run 1");
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_call_whose_first_one_still_runs_is_aborted_and_told_when_to_come_again() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let handler_gate = gate.clone();
    let layer = layer().retry_after(Duration::from_millis(1_500));
    let server = start(layer, &effects, move |_| {
        let gate = handler_gate.clone();
        async move {
            gate.passed().await;
            Ok(receipt("done"))
        }
    });
    let server = server.await;
    let order = call("order-1001");
    let first = order.send(&server);
    let ((), first) = tokio::join!(
        async {
            effects.reached(1).await;
            let rejected = call("order-1001").send(&server).await;
            let details = assert_rejected(&rejected, Code::Aborted, "IDEMPOTENCY_KEY_IN_FLIGHT");
            let delay = details.retry_info().unwrap().retry_delay;
            assert_eq!(delay, Some(Duration::from_millis(1_500)));
            assert_eq!(
                rejected.unwrap_err().metadata().get("retry-after").unwrap(),
                "2",
                "in whole seconds"
            );
            gate.open();
        },
        first
    );
    assert_first(&first, "done");
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_call_with_a_bad_key_or_without_one_is_invalid() {
    let effects = Effects::new();
    let server = counting(layer().require_key(), &effects).await;
    for key in ["order 1001", "", "\"order-1001"] {
        let rejected = call(key).send(&server).await;
        assert_rejected(&rejected, Code::InvalidArgument, "IDEMPOTENCY_KEY_INVALID");
    }
    let rejected = call("").without_key().send(&server).await;
    assert_rejected(&rejected, Code::InvalidArgument, "IDEMPOTENCY_KEY_MISSING");
    assert_eq!(effects.count(), 0);
}

#[tokio::test]
async fn while_the_store_is_down_a_call_is_told_to_come_again() {
    let effects = Effects::new();
    let scripted = Scripted::over(store());
    let server = counting(layer_over(DynStore::new(scripted.clone())), &effects).await;
    for kind in [StoreErrorKind::Unavailable, StoreErrorKind::Full] {
        scripted.fault(Operation::Reserve, Fault::Error(kind));
        let rejected = call("order-1001").send(&server).await;
        assert_rejected(&rejected, Code::Unavailable, "IDEMPOTENCY_STORE_UNAVAILABLE");
        scripted.heal();
    }
    assert_first(&call("order-1001").send(&server).await, "run 1");
}

#[tokio::test]
async fn a_message_over_the_limit_is_rejected_by_the_layer() {
    let effects = Effects::new();
    let server = counting(layer().max_request(100), &effects).await;
    let rejected = call("order-1001").to(&"a".repeat(100)).send(&server).await;
    assert_rejected(&rejected, Code::ResourceExhausted, "REQUEST_TOO_LARGE");
    assert_first(&call("order-1001").send(&server).await, "run 1");
}

#[tokio::test]
async fn a_layer_that_is_shut_down_is_unavailable() {
    let effects = Effects::new();
    let layer = layer();
    let server = counting(layer.clone(), &effects).await;
    patiently(layer.shutdown()).await;
    let rejected = call("order-1001").send(&server).await;
    assert_rejected(&rejected, Code::Unavailable, "IDEMPOTENCY_SHUTTING_DOWN");
    assert_eq!(effects.count(), 0);
}

#[tokio::test]
async fn rejection_response_adds_metadata_and_changes_nothing_else() {
    let effects = Effects::new();
    let layer = layer().rejection_response(|rejection: &Rejection| {
        let response =
            Response::builder().header("x-team", "payments").header("content-type", "text/plain");
        response.header("content-language", "en").body(Bytes::from(rejection.code())).unwrap()
    });
    let server = counting(layer, &effects).await;
    let rejected = call("order 1001").send(&server).await;
    assert_rejected(&rejected, Code::InvalidArgument, "IDEMPOTENCY_KEY_INVALID");
    let metadata = rejected.unwrap_err().metadata().clone();
    assert_eq!(metadata.get("x-team").unwrap(), "payments");
    assert!(!metadata.contains_key("content-language"));
}
