//! Responses that say that it is unknown how their attempt ended.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, Response, StatusCode};
use tokio::task::JoinHandle;
use tower::ServiceExt;
use tower_idempotency::store::{DynStore, State, StoreErrorKind};
use tower_idempotency::{
    IdempotencyKey, InFlight, OnAbandoned, PreviousAttempt, Rejection, ResponseClass,
    ResponseDirective, Scope,
};

use crate::support::{
    Arrived, Effects, Fault, Frames, Gate, Operation, Scripted, Server, TestLayer, WireResponse,
    app, layer, layer_over, patiently, post, store,
};

const KEY: &str = "order-1001";
const ABANDONED: Option<PreviousAttempt> = Some(PreviousAttempt::Abandoned);

/// Far longer than any test: nothing here may depend on its end.
const LEASE: Duration = Duration::from_hours(1);

fn abandoned(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.extensions_mut().insert(ResponseDirective::abandoned());
    response
}

/// A router whose first `lost` runs wait at the gate and then lose their upstream. Later ones
/// succeed.
fn losing(effects: &Effects, gate: &Gate, lost: usize) -> Router {
    let (ledger, gate) = (effects.clone(), gate.clone());
    app(effects, move |_| {
        let (run, gate) = (ledger.count(), gate.clone());
        async move {
            let body = format!("run {run}");
            if run > lost {
                return Response::new(Body::from(body));
            }
            gate.passed().await;
            abandoned(StatusCode::GATEWAY_TIMEOUT, body)
        }
    })
}

/// The same, with nothing to wait for.
fn losing_at_once(effects: &Effects, lost: usize) -> Router {
    let gate = Gate::new();
    gate.open();
    losing(effects, &gate, lost)
}

async fn state(layer: &TestLayer) -> Option<State> {
    let key = IdempotencyKey::parse(KEY.as_bytes()).unwrap();
    layer.inspect(&Scope::anonymous(), &key).await.unwrap().map(|record| record.state)
}

async fn is_abandoned(layer: &TestLayer) -> bool {
    matches!(state(layer).await, Some(State::Pending { abandoned: true }))
}

/// Sends the request without a socket, as tests need whose clock is paused.
fn sent(router: &Router) -> JoinHandle<Response<Body>> {
    let request = Request::post("/").header("idempotency-key", KEY).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request);
    tokio::spawn(async { response.await.unwrap() })
}

#[tokio::test(start_paused = true)]
async fn the_next_request_runs_at_once_whatever_the_status_said() {
    for status in [200, 409, 422, 502, 504] {
        let effects = Effects::new();
        let ledger = effects.clone();
        let guard = layer().lease(LEASE).mark_original();
        let router = app(&effects, move |_| {
            let run = ledger.count();
            async move { abandoned(StatusCode::from_u16(status).unwrap(), format!("run {run}")) }
        });
        let router = router.layer(guard.clone());
        let began = tokio::time::Instant::now();
        for run in 1..=3 {
            let response = sent(&router).await.unwrap();
            assert_eq!(response.status(), status);
            let body = axum::body::to_bytes(response.into_body(), 100).await.unwrap();
            assert_eq!(body, format!("run {run}"), "the response is as the handler gave it");
            assert!(is_abandoned(&guard).await);
        }
        assert_eq!(began.elapsed(), Duration::ZERO, "nothing was waited for");
        assert_eq!(effects.attempts(), [(1, None), (2, ABANDONED), (3, ABANDONED)]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_policy_may_reject_what_is_abandoned() {
    let effects = Effects::new();
    let guard = layer().lease(LEASE).on_abandoned(OnAbandoned::Reject);
    let router = losing_at_once(&effects, 1).layer(guard);
    let began = tokio::time::Instant::now();
    assert_eq!(sent(&router).await.unwrap().status(), 504);
    for _ in 0..2 {
        let rejected = sent(&router).await.unwrap();
        assert_eq!(rejected.status(), 409);
        assert_eq!(rejected.extensions().get(), Some(&Rejection::OutcomeUnknown));
    }
    assert_eq!((effects.count(), began.elapsed()), (1, Duration::ZERO));
}

#[tokio::test]
async fn a_classifier_may_say_so() {
    let effects = Effects::new();
    let guard = layer().lease(LEASE).classify(|head| match head.status {
        StatusCode::BAD_GATEWAY => ResponseClass::Abandoned,
        _ => ResponseClass::of_head(head),
    });
    let ledger = effects.clone();
    let router = app(&effects, move |_| {
        let first = ledger.count() == 1;
        async move { if first { StatusCode::BAD_GATEWAY } else { StatusCode::CREATED } }
    });
    let server = Server::start(router.layer(guard)).await;
    let call = post("/").key(KEY);
    call.send(&server).await.assert_first(502, "");
    let second = call.send(&server).await;
    second.assert_first(201, "");
    call.send(&server).await.assert_replays(&second);
    assert_eq!(effects.attempts(), [(1, None), (2, ABANDONED)]);
}

/// A layer of another process does not know that the attempt has ended. It sees that the lease has
/// lapsed, and waits for a renewal, as for any other one.
#[tokio::test(start_paused = true)]
async fn another_process_waits_for_a_missed_renewal_and_not_for_the_lease() {
    let effects = Effects::new();
    let store = store();
    let [one, other] = [(), ()].map(|()| layer_over(store.clone()).namespace("one service"));
    let router = losing_at_once(&effects, 1);
    let one = router.clone().layer(one.lease(LEASE));
    let other = router.layer(other.lease(Duration::from_secs(30)));
    assert_eq!(sent(&one).await.unwrap().status(), 504);
    let began = tokio::time::Instant::now();
    assert_eq!(sent(&other).await.unwrap().status(), 200);
    assert_eq!(began.elapsed(), Duration::from_millis(10_250));
    assert_eq!(effects.attempts(), [(1, None), (2, ABANDONED)]);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_on_its_way_does_not_revive_the_lease() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let store = Scripted::over(store());
    let guard = layer_over(DynStore::new(store.clone())).lease(LEASE).store_timeout(LEASE);
    let router = losing(&effects, &gate, 1).layer(guard.clone());
    let running = sent(&router);
    store.fault(Operation::Renew, Fault::Late);
    // It comes after a third of the lease.
    tokio::time::sleep(LEASE / 3).await;
    store.called(Operation::Renew, 1).await;
    gate.open();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((store.calls(Operation::GiveUp), running.is_finished()), (0, false));

    store.heal();
    assert_eq!(running.await.unwrap().status(), 504);
    assert_eq!((store.calls(Operation::GiveUp), store.calls(Operation::Renew)), (1, 1));
    assert!(is_abandoned(&guard).await);
    tokio::time::sleep(LEASE).await;
    assert_eq!(store.calls(Operation::Renew), 1, "nothing renews it any more");
    assert!(is_abandoned(&guard).await);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_has_the_lease_lapse_by_itself() {
    let effects = Effects::new();
    let store = Scripted::over(store());
    let lease = Duration::from_secs(30);
    let guard = layer_over(DynStore::new(store.clone())).lease(lease);
    let router = losing_at_once(&effects, 1).layer(guard.clone());
    store.fault(Operation::GiveUp, Fault::Error(StoreErrorKind::Unavailable));
    assert_eq!(sent(&router).await.unwrap().status(), 504);
    assert_eq!(sent(&router).await.unwrap().status(), 409, "the lease has not lapsed");
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert!(!is_abandoned(&guard).await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(is_abandoned(&guard).await);
    assert_eq!(store.calls(Operation::Renew), 0, "nothing renews it any more");
    let began = tokio::time::Instant::now();
    assert_eq!(sent(&router).await.unwrap().status(), 200);
    assert_eq!(began.elapsed(), Duration::ZERO, "this process knows that no renewal comes");
    assert_eq!(effects.attempts(), [(1, None), (2, ABANDONED)]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_comes_back_learns_of_it_before_the_lease_lapses() {
    for fault in [Fault::Error(StoreErrorKind::Unavailable), Fault::Lost] {
        let effects = Effects::new();
        let store = Scripted::over(store());
        let guard = layer_over(DynStore::new(store.clone())).lease(LEASE);
        let router = losing_at_once(&effects, 1).layer(guard.clone());
        store.fault(Operation::GiveUp, fault);
        assert_eq!(sent(&router).await.unwrap().status(), 504);
        store.heal();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(is_abandoned(&guard).await, "{fault:?}");
        assert_eq!((store.calls(Operation::GiveUp), store.calls(Operation::Renew)), (2, 0));
        assert_eq!(sent(&router).await.unwrap().status(), 200);
        assert_eq!(effects.attempts(), [(1, None), (2, ABANDONED)]);
    }
}

/// Ten requests wait for one that is abandoned. Returns all responses, its own first.
async fn ten_wait(effects: &Effects, guard: TestLayer, lost: usize) -> Vec<WireResponse> {
    let (gate, arrived) = (Gate::new(), Arrived::new());
    let guard = arrived.counted(guard.lease(LEASE).in_flight(InFlight::Wait(LEASE)));
    let server = Server::start(losing(effects, &gate, lost).layer(guard)).await;
    let call = post("/").key(KEY);
    let mut clients = vec![call.begin(&server, usize::MAX).await];
    effects.reached(1).await;
    for _ in 0..10 {
        clients.push(call.begin(&server, usize::MAX).await);
    }
    arrived.reached(11).await;
    gate.open();
    let mut responses = Vec::new();
    for client in clients {
        responses.push(patiently(call.finish(client)).await);
    }
    responses[0].assert_first(504, "run 1");
    responses
}

#[tokio::test]
async fn one_waiter_runs_at_once_and_the_others_get_its_response() {
    let effects = Effects::new();
    let responses = ten_wait(&effects, layer(), 1).await;
    let (replays, ran): (Vec<_>, Vec<_>) =
        responses[1..].iter().partition(|response| response.is_replay());
    assert_eq!((replays.len(), ran.len()), (9, 1));
    ran[0].assert_first(200, "run 2");
    assert_eq!(effects.attempts(), [(1, None), (2, ABANDONED)]);
}

#[tokio::test]
async fn waiters_are_rejected_at_once_if_it_is_not_to_run_again() {
    let effects = Effects::new();
    let responses = ten_wait(&effects, layer().on_abandoned(OnAbandoned::Reject), 1).await;
    for response in &responses[1..] {
        response.assert_rejected(409, "idempotency_outcome_unknown");
    }
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn waiters_do_not_run_in_turn_what_is_abandoned_again() {
    let effects = Effects::new();
    let responses = ten_wait(&effects, layer(), usize::MAX).await;
    let (ran, rejected): (Vec<_>, Vec<_>) =
        responses[1..].iter().partition(|response| response.status == 504);
    assert_eq!((ran.len(), rejected.len()), (1, 9));
    ran[0].assert_first(504, "run 2");
    for response in rejected {
        response.assert_rejected(409, "idempotency_key_in_flight");
    }
    assert_eq!(effects.attempts(), [(1, None), (2, ABANDONED)]);
}

#[tokio::test]
async fn a_call_of_grpc_may_be_abandoned_too() {
    let effects = Effects::new();
    let guard = layer().lease(LEASE);
    let router = app(&effects, |_| async {
        let mut response = abandoned(StatusCode::OK, String::new());
        response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        response.headers_mut().insert("grpc-status", "14".parse().unwrap());
        response
    });
    let server = Server::start(router.layer(guard.clone())).await;
    let call = post("/").key(KEY).header("content-type", "application/grpc");
    for _ in 0..2 {
        let response = call.send(&server).await;
        assert_eq!((response.status, response.header("grpc-status")), (200, Some("14")));
        assert!(is_abandoned(&guard).await);
    }
    assert_eq!(effects.attempts(), [(1, None), (2, ABANDONED)]);
}

/// A response that breaks off after its first half.
fn cut_off(directive: ResponseDirective) -> Response<Body> {
    let half = Frames::known(&[b"half"]).announcing(8).broken();
    let mut response = Response::new(Body::new(half));
    response.extensions_mut().insert(directive);
    response
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_failure_unless_the_response_says_otherwise() {
    for (directive, is_so) in [
        (ResponseDirective::new(), false),
        (ResponseDirective::new().abandoned_if_cut_off(), true),
        (ResponseDirective::discard().abandoned_if_cut_off(), false),
    ] {
        let effects = Effects::new();
        let guard = layer().lease(LEASE);
        let router = app(&effects, move |_| async move { cut_off(directive) });
        let router = router.layer(guard.clone());
        let _ = sent(&router).await.unwrap();
        assert_eq!(is_abandoned(&guard).await, is_so, "{directive:?}");
    }
}
