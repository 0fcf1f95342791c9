//! Records that are gone while the handler runs: what is in hand is stored all the same.

use std::time::Duration;

use http::StatusCode;
use tower_idempotency::store::{DynStore, State, StoreErrorKind};
use tower_idempotency::{IdempotencyKey, PreviousAttempt, Scope};

use crate::support::{
    Effects, Fault, Gate, Operation, Scripted, Server, TestLayer, app, layer_over, patiently, post,
    store,
};

const KEY: &str = "order-1001";
const RETENTION: Duration = Duration::from_mins(1);

/// A handler at a gate whose record has expired, on a paused clock.
struct Expired {
    effects: Effects,
    gate: Gate,
    layer: TestLayer,
    server: Server,
    running: tokio::net::TcpStream,
}

impl Expired {
    async fn start(status: StatusCode) -> Self {
        let (effects, gate, store) = (Effects::new(), Gate::new(), Scripted::over(store()));
        let layer = layer_over(DynStore::new(store.clone()))
            .lease(Duration::from_secs(1))
            .retention(RETENTION);
        let at_gate = gate.clone();
        let router = app(&effects, move |_| {
            let gate = at_gate.clone();
            async move {
                gate.passed().await;
                (status, "in hand")
            }
        });
        let server = Server::start(router.layer(layer.clone())).await;
        store.fault(Operation::Renew, Fault::Error(StoreErrorKind::Unavailable));
        let running = post("/").key(KEY).begin(&server, usize::MAX).await;
        effects.reached(1).await;
        tokio::time::sleep(RETENTION).await;
        let expired = Self { effects, gate, layer, server, running };
        assert!(expired.state().await.is_none(), "the record has expired");
        store.heal();
        let renewals = store.calls(Operation::Renew);
        store.called(Operation::Renew, renewals + 1).await;
        expired
    }

    async fn state(&self) -> Option<State> {
        let key = IdempotencyKey::parse(KEY.as_bytes()).unwrap();
        self.layer.inspect(&Scope::anonymous(), &key).await.unwrap().map(|record| record.state)
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_does_not_bring_back_a_record_that_is_gone() {
    let expired = Expired::start(StatusCode::CREATED).await;
    assert!(expired.state().await.is_none());
    expired.gate.open();
    patiently(post("/").key(KEY).finish(expired.running)).await.assert_first(201, "in hand");
}

#[tokio::test(start_paused = true)]
async fn a_response_in_hand_is_stored_though_its_record_is_gone() {
    let expired = Expired::start(StatusCode::CREATED).await;
    expired.gate.open();
    let call = post("/").key(KEY);
    let first = call.finish(expired.running).await;
    first.assert_first(201, "in hand");
    call.send(&expired.server).await.assert_replays(&first);
    call.body("another amount")
        .send(&expired.server)
        .await
        .assert_rejected(409, "idempotency_key_reused");
    assert_eq!(expired.effects.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_hand_is_recorded_though_its_record_is_gone() {
    let expired = Expired::start(StatusCode::BAD_GATEWAY).await;
    expired.gate.open();
    let call = post("/").key(KEY);
    call.finish(expired.running).await.assert_first(502, "in hand");
    call.clone()
        .body("another amount")
        .send(&expired.server)
        .await
        .assert_rejected(409, "idempotency_key_reused");
    call.send(&expired.server).await.assert_first(502, "in hand");
    let failed = PreviousAttempt::Failed { status: Some(StatusCode::BAD_GATEWAY) };
    assert_eq!(expired.effects.attempts(), [(1, None), (2, Some(failed))]);
}
