//! An attempt that gives its lease up, because its response says that its end is unknown.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use tokio::sync::Notify;
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::store::State;
use tower_idempotency::{
    IdempotencyKey, InFlight, OnAbandoned, PreviousAttempt, Rejection, ResponseDirective, Scope,
};

use super::{AMOUNT, KEY, Kind, Stage, request, status};
use crate::support::given::over_every_store_that_leases;
use crate::support::{TestLayer, patiently};

over_every_store_that_leases! {
    an_attempt_that_is_given_up_is_taken_over_at_once
    a_later_attempt_in_which_nothing_happened_leaves_it_given_up
    an_attempt_that_is_given_up_is_not_to_run_again
    a_waiter_runs_when_the_attempt_is_given_up
    a_waiter_of_another_process_runs_when_the_attempt_is_given_up
}

const ABANDONED: Option<PreviousAttempt> = Some(PreviousAttempt::Abandoned);

/// Far longer than any test waits.
const LEASE: Duration = Duration::from_hours(1);

fn gives_up() -> Response<Body> {
    let mut response = status(504);
    response.extensions_mut().insert(ResponseDirective::abandoned());
    response
}

async fn start(kind: Kind) -> Stage {
    let stage = Stage::start(kind).await;
    let layer = stage.layer.clone().lease(LEASE);
    Stage { layer, ..stage }
}

async fn is_abandoned(stage: &Stage) -> bool {
    let key = IdempotencyKey::parse(KEY.as_bytes()).unwrap();
    let found = stage.state(&Scope::anonymous(), &key).await;
    matches!(found, Some(State::Pending { abandoned: true }))
}

async fn an_attempt_that_is_given_up_is_taken_over_at_once(kind: Kind) {
    let stage = start(kind).await;
    assert_eq!(stage.send(gives_up).await, (504, (1, None, false)));
    assert!(is_abandoned(&stage).await);
    stage.is_bound("text/plain").await;
    assert_eq!(patiently(stage.send(gives_up)).await, (504, (2, ABANDONED, true)));
    assert_eq!(patiently(stage.send(|| status(201))).await, (201, (3, ABANDONED, true)));
}

async fn a_later_attempt_in_which_nothing_happened_leaves_it_given_up(kind: Kind) {
    let stage = start(kind).await;
    stage.send(gives_up).await;
    for attempt in 2..=3 {
        let again = patiently(stage.send(|| status(429))).await;
        assert_eq!(again, (429, (attempt, ABANDONED, true)));
        assert!(is_abandoned(&stage).await);
        stage.is_bound("text/plain").await;
    }
    assert_eq!(patiently(stage.send(|| status(201))).await, (201, (4, ABANDONED, true)));
}

async fn an_attempt_that_is_given_up_is_not_to_run_again(kind: Kind) {
    let stage = start(kind).await;
    stage.send(gives_up).await;
    let handler = service_fn(async |_: Request<Body>| -> Result<Response<Body>, Infallible> {
        panic!("it ran again")
    });
    let layer = stage.layer.clone().on_abandoned(OnAbandoned::Reject);
    let sent = layer.layer(handler).oneshot(request("text/plain", AMOUNT));
    let rejected = patiently(sent).await.unwrap();
    assert_eq!(rejected.extensions().get(), Some(&Rejection::OutcomeUnknown));
}

/// Begins an attempt, lets a request wait for it at `waiting`, and gives the attempt up. Returns the
/// status that the waiter gets.
async fn a_waiter_gets(stage: &Stage, waiting: TestLayer) -> u16 {
    let (begun, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, ends) = (Arc::clone(&begun), Arc::clone(&end));
    let first = service_fn(move |_: Request<Body>| {
        let (begins, ends) = (Arc::clone(&begins), Arc::clone(&ends));
        async move {
            begins.notify_one();
            ends.notified().await;
            Ok::<_, Infallible>(gives_up())
        }
    });
    let wait = |layer: TestLayer| layer.in_flight(InFlight::Wait(LEASE));
    let first = wait(stage.layer.clone()).layer(first);
    let running = tokio::spawn(first.oneshot(request("text/plain", AMOUNT)));
    patiently(begun.notified()).await;

    let second = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(status(201)));
    let second = wait(waiting).layer(second).oneshot(request("text/plain", AMOUNT));
    let waiter = tokio::spawn(second);
    // It waits when it has found the attempt in flight: no event tells of that on every store.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiter.is_finished());
    end.notify_one();
    assert_eq!(patiently(running).await.unwrap().unwrap().status(), 504);
    patiently(waiter).await.unwrap().unwrap().status().as_u16()
}

async fn a_waiter_runs_when_the_attempt_is_given_up(kind: Kind) {
    let stage = start(kind).await;
    assert_eq!(a_waiter_gets(&stage, stage.layer.clone()).await, 201);
}

/// It waits for a missed renewal of its own lease too.
async fn a_waiter_of_another_process_runs_when_the_attempt_is_given_up(kind: Kind) {
    let stage = start(kind).await;
    let other = Stage::layer(stage.store.clone()).lease(Duration::from_millis(300));
    assert_eq!(a_waiter_gets(&stage, other).await, 201);
}
