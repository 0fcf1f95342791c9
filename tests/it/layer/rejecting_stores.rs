//! Stores that reply and reject: full, damaged, not set up. Clients can cause that, so it must not
//! open the layer, and must not let an operation run again.

use std::time::Duration;

use http::StatusCode;
use tower_idempotency::OnOutage;
use tower_idempotency::store::{DynStore, StoreErrorKind};

use crate::support::{
    Effects, Fault, Operation, Scripted, Server, TestLayer, app, counting, layer_over, patiently,
    post, store,
};

const REJECTING: [StoreErrorKind; 5] = [
    StoreErrorKind::Full,
    StoreErrorKind::ScopeFull,
    StoreErrorKind::Corrupt,
    StoreErrorKind::Configuration,
    StoreErrorKind::Rejected,
];

fn scripted() -> (Scripted, TestLayer) {
    let store = Scripted::over(store());
    let layer = layer_over(DynStore::new(store.clone()));
    (store, layer)
}

#[tokio::test]
async fn a_store_that_rejects_opens_no_layer() {
    for kind in REJECTING {
        let effects = Effects::new();
        let (store, layer) = scripted();
        let layer = layer.on_outage(OnOutage::FailOpenRiskingDoubleEffects);
        let server = Server::start(counting(&effects).layer(layer)).await;
        store.fault(Operation::Reserve, Fault::Error(kind));
        for _ in 0..3 {
            let rejected = post("/").key("order-1001").send(&server).await;
            let scope_is_full = kind == StoreErrorKind::ScopeFull;
            let code = if scope_is_full {
                "idempotency_quota_exceeded"
            } else {
                "idempotency_store_unavailable"
            };
            rejected.assert_rejected(if scope_is_full { 429 } else { 503 }, code);
            assert!(rejected.header("retry-after").is_some());
        }
        assert_eq!(effects.count(), 0, "{kind:?}");
    }
}

#[tokio::test]
async fn a_response_that_the_store_rejects_is_stored_at_once_without_its_body() {
    for kind in REJECTING {
        let effects = Effects::new();
        let (store, layer) = scripted();
        let server = Server::start(counting(&effects).layer(layer)).await;
        let call = post("/").key("order-1001");
        store.fault(Operation::Complete, Fault::Body(kind));
        call.send(&server).await.assert_first(200, "run 1");
        assert_eq!(store.calls(Operation::Complete), 2, "{kind:?}");
        let retry = call.send(&server).await;
        let problem = retry.assert_rejected(409, "idempotency_result_not_retained");
        assert_eq!(problem["original_status"], 200);
        assert_eq!(effects.count(), 1, "{kind:?}");
    }
}

/// A write is retried for a minute while the store is down. A full store may be full for hours.
#[tokio::test]
async fn a_store_that_stays_full_does_not_let_the_operation_run_again() {
    let effects = Effects::new();
    let (store, layer) = scripted();
    let server = Server::start(counting(&effects).layer(layer)).await;
    let call = post("/").key("order-1001");
    store.fault(Operation::Complete, Fault::Error(StoreErrorKind::Full));
    call.send(&server).await.assert_first(200, "run 1");
    // From here on no socket is needed before the clock runs again.
    tokio::time::pause();
    for _ in 0..120 {
        tokio::time::advance(Duration::from_secs(5)).await;
        tokio::task::yield_now().await;
    }
    tokio::time::resume();
    call.send(&server).await.assert_rejected(409, "idempotency_key_in_flight");
    store.heal();
    let settled = async {
        loop {
            let retry = call.send(&server).await;
            if retry.text().contains("idempotency_result_not_retained") {
                return;
            }
            retry.assert_rejected(409, "idempotency_key_in_flight");
            tokio::task::yield_now().await;
        }
    };
    patiently(settled).await;
    assert_eq!(effects.count(), 1);
}

/// Each of many responses that wait for a store takes memory until it is written.
#[tokio::test]
async fn a_response_whose_write_is_retried_gives_up_its_body_above_the_limit() {
    for (limit, is_stored) in [(1000, true), (999, false)] {
        let effects = Effects::new();
        let (store, layer) = scripted();
        let body = |_| async { (StatusCode::CREATED, "x".repeat(1000)) };
        let server = Server::start(app(&effects, body).layer(layer.max_held_bytes(limit))).await;
        let call = post("/").key("order-1001");
        store.fault(Operation::Complete, Fault::Error(StoreErrorKind::Unavailable));
        assert_eq!(call.send(&server).await.status, 201);
        store.called(Operation::Complete, 2).await;
        store.heal();
        let retry = async {
            loop {
                let retry = call.send(&server).await;
                if !retry.text().contains("idempotency_key_in_flight") {
                    return retry;
                }
            }
        };
        let retry = patiently(retry).await;
        if is_stored {
            assert_eq!((retry.status, retry.is_replay()), (201, true));
        } else {
            retry.assert_rejected(409, "idempotency_result_not_retained");
        }
        assert_eq!(effects.count(), 1);
    }
}
