//! What the subscriber of `on_event` is told.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tower_idempotency::operate::{Event, EventKind, LeaseLoss, Notice};
use tower_idempotency::store::{DynStore, StoreErrorKind};
use tower_idempotency::{OnOutage, PreviousAttempt, ResponseDirective, Scope};

use crate::support::{
    Effects, Fault, Gate, Operation, Scripted, Server, TestLayer, app, counting, layer, layer_over,
    patiently, post, store,
};

mod audit;

/// The layer with a subscriber, and what that is told.
fn told(layer: TestLayer) -> (TestLayer, UnboundedReceiver<Notice>) {
    let (sender, notices) = unbounded_channel();
    let layer = layer.on_event(move |notice| {
        let _ = sender.send(notice);
        std::future::ready(())
    });
    (layer, notices)
}

/// What was told until the layer ended.
async fn events(layer: &TestLayer, notices: &mut UnboundedReceiver<Notice>) -> Vec<Event> {
    patiently(layer.shutdown()).await;
    let mut events = Vec::new();
    while let Ok(notice) = notices.try_recv() {
        let Notice::Event(event) = notice else { panic!("{notice:?}") };
        events.push(event);
    }
    assert!(events.is_sorted_by(|one, next| one.number < next.number), "{events:#?}");
    events
}

fn kinds(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.kind.word()).collect()
}

#[tokio::test]
async fn each_change_of_a_record_is_told_once_and_in_order() {
    let (layer, mut notices) = told(layer().scope(|_| Scope::new("acct_1")));
    let effects = Effects::new();
    let ledger = effects.clone();
    let router = app(&effects, move |_| {
        let first = ledger.count() == 1;
        async move { if first { StatusCode::BAD_GATEWAY } else { StatusCode::CREATED } }
    });
    let server = Server::start(router.layer(layer.clone())).await;
    let call = post("/").key("order-1001");
    for _ in 0..3 {
        call.send(&server).await;
    }
    call.body("other").send(&server).await;
    let events = events(&layer, &mut notices).await;
    let words = ["reserved", "failed", "reserved", "completed", "replayed", "rejected"];
    assert_eq!(kinds(&events), words);
    let previous = Some(PreviousAttempt::Failed { status: Some(StatusCode::BAD_GATEWAY) });
    let replaces = events[0].token;
    let again = EventKind::Reserved { previous, replaces, is_in_doubt: true };
    assert_eq!((events[2].attempt, &events[2].kind), (Some(2), &again));
    let completed = EventKind::Completed { status: StatusCode::CREATED, not_retained: None };
    assert_eq!(events[3].kind, completed);
    // The replay names the attempt that made its response.
    assert_eq!((events[4].attempt, events[4].token), (Some(2), events[2].token));
    assert_eq!(events[5].kind, EventKind::Rejected { code: "idempotency_key_reused" });
    assert!(events.iter().all(|event| event.key == events[0].key && event.scope.is_some()));
    // Neither the key nor the body nor the scope is anywhere.
    for secret in ["order-1001", "other", "acct_1"] {
        assert!(!format!("{events:?}").contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn nothing_happened_is_told_as_what_it_leaves() {
    let (layer, mut notices) = told(layer());
    let effects = Effects::new();
    let ledger = effects.clone();
    let router = app(&effects, move |_| {
        let run = ledger.count();
        async move { if run == 2 { StatusCode::BAD_GATEWAY } else { StatusCode::BAD_REQUEST } }
    });
    let server = Server::start(router.layer(layer.clone())).await;
    for _ in 0..3 {
        post("/").key("order-1001").send(&server).await;
    }
    let events = events(&layer, &mut notices).await;
    let words = ["reserved", "released", "reserved", "failed", "reserved", "put-back"];
    assert_eq!(kinds(&events), words);
    let EventKind::PutBack { token, .. } = &events[5].kind else { panic!("{events:#?}") };
    assert_eq!(*token, events[3].token);
}

#[tokio::test]
async fn an_abandoned_attempt_is_told_as_one() {
    let (layer, mut notices) = told(layer().lease(Duration::from_hours(1)));
    let effects = Effects::new();
    let ledger = effects.clone();
    let router = app(&effects, move |_| {
        let run = ledger.count();
        async move {
            let mut response = http::Response::new(axum::body::Body::empty());
            response.extensions_mut().insert(match run {
                1 => ResponseDirective::abandoned(),
                2 => ResponseDirective::discard(),
                _ => ResponseDirective::success(),
            });
            response
        }
    });
    let server = Server::start(router.layer(layer.clone())).await;
    for _ in 0..3 {
        post("/").key("order-1001").send(&server).await;
    }
    let events = events(&layer, &mut notices).await;
    let words = ["reserved", "abandoned", "reserved", "put-back", "reserved", "completed"];
    assert_eq!(kinds(&events), words);
    assert_eq!((events[1].attempt, events[1].token), (Some(1), events[0].token));
    let (previous, replaces) = (Some(PreviousAttempt::Abandoned), events[0].token);
    let again = EventKind::Reserved { previous, replaces, is_in_doubt: true };
    assert_eq!([&events[2].kind, &events[4].kind], [&again; 2]);
    assert_eq!(events[4].attempt, Some(3));
}

#[tokio::test]
async fn a_lost_lease_and_a_write_that_is_retried_are_told() {
    let store = Scripted::over(store());
    let layer = layer_over(DynStore::new(store.clone())).lease(Duration::from_millis(60));
    let (layer, mut notices) = told(layer);
    let (effects, gate) = (Effects::new(), Gate::new());
    let held = gate.clone();
    let router = app(&effects, move |_| {
        let gate = held.clone();
        async move { gate.passed().await }
    });
    let server = Server::start(router.layer(layer.clone())).await;
    store.fault(Operation::Renew, Fault::Error(StoreErrorKind::Unavailable));
    store.fault(Operation::Complete, Fault::Error(StoreErrorKind::Unavailable));
    let call = post("/").key("order-1001");
    let client = tokio::spawn(async move { call.send(&server).await });
    loop {
        let Some(Notice::Event(event)) = patiently(notices.recv()).await else { panic!("ended") };
        if event.kind == EventKind::LeaseLost(LeaseLoss::Lapsed) {
            break;
        }
    }
    gate.open();
    client.await.unwrap();
    store.heal();
    let events = events(&layer, &mut notices).await;
    let retried = EventKind::WriteRetried(StoreErrorKind::Unavailable);
    assert!(events.iter().any(|event| event.kind == retried), "{events:#?}");
    assert_eq!(events.last().unwrap().kind.word(), "completed");
}

#[tokio::test]
async fn an_operation_without_a_record_is_told() {
    let store = Scripted::over(store());
    let layer =
        layer_over(DynStore::new(store.clone())).on_outage(OnOutage::FailOpenRiskingDoubleEffects);
    let (layer, mut notices) = told(layer);
    let server = Server::start(counting(&Effects::new()).layer(layer.clone())).await;
    store.fault(Operation::Reserve, Fault::Error(StoreErrorKind::Unavailable));
    post("/").key("order-1001").send(&server).await;
    assert_eq!(kinds(&events(&layer, &mut notices).await), ["unguarded"]);
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn what_an_operator_does_is_told_and_the_attempt_that_it_fenced() {
    use tower_idempotency::MemoryStore;
    use tower_idempotency::operate::{NotStored, Settle};
    use tower_idempotency::store::operator::OperatorAction;

    let layer = layer_over(DynStore::new(MemoryStore::new())).namespace("payments");
    let (layer, mut notices) = told(layer.label_records());
    let (effects, gate) = (Effects::new(), Gate::new());
    let held = gate.clone();
    let router = app(&effects, move |_| {
        let gate = held.clone();
        async move { gate.passed().await }
    });
    let server = Server::start(router.layer(layer.clone())).await;
    let call = post("/").key("order-1001");
    let client = tokio::spawn(async move { call.send(&server).await });
    effects.reached(1).await;
    let operator = layer.operator("night shift").unwrap().even_in_flight();
    let key = tower_idempotency::IdempotencyKey::parse(b"order-1001").unwrap();
    let seen = operator.show(&operator.storage_key(&Scope::anonymous(), &key)).await.unwrap();
    let settle = Settle::Conclude(StatusCode::CREATED);
    let seen = seen.record.unwrap();
    assert!(operator.settle(&seen, settle, "the provider has it").await.unwrap().is_applied());
    gate.open();
    client.await.unwrap();
    let events = events(&layer, &mut notices).await;
    let [reserved, changed, .., last] = &events[..] else { panic!("{events:#?}") };
    let EventKind::Changed { action, by, reason, token } = &changed.kind else {
        panic!("{events:#?}")
    };
    assert_eq!((*action, &**by), (OperatorAction::Conclude, "night shift"));
    assert_eq!(**reason, *"the provider has it");
    assert_eq!(changed.token, reserved.token);
    assert!(token.is_some() && *token != reserved.token);
    assert_eq!(last.kind, EventKind::NotStored(NotStored::LeaseLost));
    let label = last.label.as_ref().unwrap();
    assert_eq!((&*label.namespace, &*label.route), ("payments", "POST"));
}

#[tokio::test]
async fn a_slow_subscriber_delays_no_request() {
    let opened = Arc::new(tokio::sync::Semaphore::new(0));
    let gate = Arc::clone(&opened);
    let layer = layer().on_event(move |_| {
        let gate = Arc::clone(&gate);
        async move { gate.acquire().await.unwrap().forget() }
    });
    let server = Server::start(counting(&Effects::new()).layer(layer.clone())).await;
    for number in 0..20 {
        post("/").key(format!("order-{number}")).send(&server).await;
    }
    // The end waits for it.
    let mut ended = tokio_test::task::spawn(layer.shutdown());
    assert!(ended.poll().is_pending());
    opened.add_permits(40);
    patiently(ended).await;
}
