//! Requests whose key is in flight.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use http::StatusCode;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tower_idempotency::store::DynStore;
use tower_idempotency::{InFlight, PreviousAttempt};

use crate::support::{
    Arrived, Effects, Gate, Operation, Scripted, Server, WireResponse, app, gated_whole, layer,
    layer_over, post, store,
};

/// Short, but long enough for a busy machine to renew it in time.
const LEASE: Duration = Duration::from_millis(300);

/// A router whose first run waits at the gate and then responds with `status`; later runs respond
/// with 200 at once.
fn first_waits(effects: &Effects, gate: &Gate, status: StatusCode) -> Router {
    first_waits_then(effects, gate, status, StatusCode::OK)
}

/// The same with a `later` status of the runs after the first.
fn first_waits_then(
    effects: &Effects,
    gate: &Gate,
    status: StatusCode,
    later: StatusCode,
) -> Router {
    let (ledger, gate) = (effects.clone(), gate.clone());
    app(effects, move |_| {
        let (run, gate) = (ledger.count(), gate.clone());
        async move {
            if run > 1 {
                return (later, format!("run {run}"));
            }
            gate.passed().await;
            (status, "run 1".into())
        }
    })
}

#[tokio::test]
async fn a_retry_in_flight_is_rejected_until_the_response_is_there() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let layer = layer().retry_after(Duration::from_millis(6500));
    let server = Server::start(first_waits(&effects, &gate, StatusCode::OK).layer(layer)).await;
    let call = post("/").key("order-1001");

    let running = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    for _ in 0..2 {
        let rejected = call.send(&server).await;
        rejected.assert_rejected(409, "idempotency_key_in_flight");
        assert_eq!(rejected.header("retry-after"), Some("7"), "whole seconds, rounded up");
    }
    gate.open();
    let first = call.finish(running).await;
    first.assert_first(200, "run 1");
    call.send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

/// Starts ten waiters behind a running request, lets it end with `status`, and returns all
/// responses, its own first.
async fn ten_wait(effects: &Effects, status: StatusCode) -> Vec<WireResponse> {
    let gate = Gate::new();
    ten_wait_for(effects, &gate, first_waits(effects, &gate, status), async || {}).await
}

/// The same in front of any router whose first run waits at the gate; `then` comes after the gate
/// was opened.
async fn ten_wait_for(
    effects: &Effects,
    gate: &Gate,
    router: Router,
    then: impl AsyncFnOnce(),
) -> Vec<WireResponse> {
    let arrived = Arrived::new();
    let layer = arrived.counted(layer().in_flight(InFlight::Wait(Duration::from_mins(1))));
    let server = Server::start(router.layer(layer)).await;
    let call = post("/").key("order-1001");

    let running = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    let mut waiters = Vec::new();
    for _ in 0..10 {
        waiters.push(call.begin(&server, usize::MAX).await);
    }
    arrived.reached(11).await;
    assert_eq!(effects.count(), 1);
    gate.open();
    then().await;
    let mut responses = vec![call.finish(running).await];
    for waiter in waiters {
        responses.push(call.finish(waiter).await);
    }
    responses
}

#[tokio::test]
async fn waiters_get_the_response_of_the_request_they_waited_for() {
    let effects = Effects::new();
    let responses = ten_wait(&effects, StatusCode::CREATED).await;
    responses[0].assert_first(201, "run 1");
    for waiter in &responses[1..] {
        waiter.assert_replays(&responses[0]);
    }
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn one_waiter_runs_when_the_request_it_waited_for_fails_or_leaves_no_record() {
    let failed = PreviousAttempt::Failed { status: Some(StatusCode::BAD_GATEWAY) };
    let ends = [
        (StatusCode::BAD_GATEWAY, (2, Some(failed))),
        (StatusCode::UNPROCESSABLE_ENTITY, (1, None)),
    ];
    for (status, second) in ends {
        let effects = Effects::new();
        let responses = ten_wait(&effects, status).await;
        responses[0].assert_first(status.as_u16(), "run 1");
        let (replays, ran): (Vec<_>, Vec<_>) =
            responses[1..].iter().partition(|response| response.is_replay());
        assert_eq!((replays.len(), ran.len()), (9, 1));
        ran[0].assert_first(200, "run 2");
        assert!(replays.iter().all(|replay| replay.body == ran[0].body));
        assert_eq!(effects.attempts(), [(1, None), second]);
    }
}

/// Asserts that of eleven requests one failed, one ran it again and failed too, and the others were
/// rejected.
#[track_caller]
fn assert_one_ran_again(effects: &Effects, responses: &[WireResponse]) {
    let failed = PreviousAttempt::Failed { status: Some(StatusCode::INTERNAL_SERVER_ERROR) };
    assert_eq!(effects.attempts(), [(1, None), (2, Some(failed))]);
    responses[0].assert_first(500, "run 1");
    let (ran, rejected): (Vec<_>, Vec<_>) =
        responses[1..].iter().partition(|response| response.status == 500);
    assert_eq!((ran.len(), rejected.len()), (1, 9));
    ran[0].assert_first(500, "run 2");
    for response in rejected {
        response.assert_rejected(409, "idempotency_key_in_flight");
    }
}

#[tokio::test]
async fn waiters_do_not_run_in_turn_what_fails_again_while_they_wait_for_it() {
    let (effects, gate, second) = (Effects::new(), Gate::new(), Gate::new());
    let (ledger, first_gate, second_gate) = (effects.clone(), gate.clone(), second.clone());
    let router = app(&effects, move |_| {
        let run = ledger.count();
        let gate = if run == 1 { first_gate.clone() } else { second_gate.clone() };
        async move {
            gate.passed().await;
            (StatusCode::INTERNAL_SERVER_ERROR, format!("run {run}"))
        }
    });
    let all_wait_again = async || {
        effects.reached(2).await;
        second.open();
    };
    let responses = ten_wait_for(&effects, &gate, router, all_wait_again).await;
    assert_one_ran_again(&effects, &responses);
}

#[tokio::test]
async fn waiters_do_not_run_in_turn_what_fails_again_at_once() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let failure = StatusCode::INTERNAL_SERVER_ERROR;
    let router = first_waits_then(&effects, &gate, failure, failure);
    let responses = ten_wait_for(&effects, &gate, router, async || {}).await;
    assert_one_ran_again(&effects, &responses);
}

#[tokio::test]
async fn a_waiter_gives_up_at_its_bound_and_leaves_the_winner_alone() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let layer = layer().in_flight(InFlight::Wait(Duration::from_millis(50)));
    let server = Server::start(first_waits(&effects, &gate, StatusCode::OK).layer(layer)).await;
    let call = post("/").key("order-1001");

    let running = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    let start = Instant::now();
    call.send(&server).await.assert_rejected(409, "idempotency_key_in_flight");
    assert!(start.elapsed() >= Duration::from_millis(50), "it waited {:?}", start.elapsed());
    gate.open();
    let first = call.finish(running).await;
    first.assert_first(200, "run 1");
    call.send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

/// Sends 200 requests with one key at the same moment.
async fn two_hundred_at_once(policy: InFlight) -> (Effects, Vec<WireResponse>) {
    let effects = Effects::new();
    let router = app(&effects, |_| async {
        tokio::task::yield_now().await;
        (StatusCode::CREATED, "done")
    });
    let server = Arc::new(Server::start(router.layer(layer().in_flight(policy))).await);
    let barrier = Arc::new(Barrier::new(200));
    let mut tasks = JoinSet::new();
    for _ in 0..200 {
        let (server, barrier) = (server.clone(), barrier.clone());
        tasks.spawn(async move {
            // Connected, and sent but for the last byte.
            let call = post("/").key("order-1001").body("amount=1200");
            let bytes = call.bytes();
            let mut stream = call.begin(&server, bytes.len() - 1).await;
            barrier.wait().await;
            tokio::io::AsyncWriteExt::write_all(&mut stream, &bytes[bytes.len() - 1..])
                .await
                .unwrap();
            call.finish(stream).await
        });
    }
    (effects, tasks.join_all().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_requests_with_one_key_have_one_effect() {
    let (effects, responses) = two_hundred_at_once(InFlight::Reject).await;
    assert_eq!(effects.count(), 1);
    let first = responses.iter().filter(|response| response.status == 201 && !response.is_replay());
    assert_eq!(first.count(), 1);
    for response in responses.iter().filter(|response| response.status != 201) {
        response.assert_rejected(409, "idempotency_key_in_flight");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_requests_that_wait_for_one_key_have_one_effect_and_one_response() {
    let (effects, responses) = two_hundred_at_once(InFlight::Wait(Duration::from_mins(1))).await;
    assert_eq!(effects.count(), 1);
    assert!(responses.iter().all(|response| response.status == 201 && response.text() == "done"));
    assert_eq!(responses.iter().filter(|response| !response.is_replay()).count(), 1);
}

#[tokio::test]
async fn a_handler_that_outlasts_its_lease_has_it_renewed_and_runs_once() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let store = Scripted::over(store());
    let layer = layer_over(DynStore::new(store.clone())).lease(LEASE);
    let server = Server::start(first_waits(&effects, &gate, StatusCode::OK).layer(layer)).await;
    let call = post("/").key("order-1001");

    let running = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    // Three renewals to a lease: the handler has outlasted several when these have been made.
    for leases in 1..=4 {
        store.called(Operation::Renew, 3 * leases).await;
        call.send(&server).await.assert_rejected(409, "idempotency_key_in_flight");
    }
    gate.open();
    let first = call.finish(running).await;
    first.assert_first(200, "run 1");
    call.send(&server).await.assert_replays(&first);
    assert_eq!(effects.attempts(), [(1, None)]);
}

#[tokio::test]
async fn a_body_that_outlasts_the_lease_has_it_renewed() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let store = Scripted::over(store());
    let handler_gate = gate.clone();
    let router = app(&effects, move |_| {
        let gate = handler_gate.clone();
        async move { gated_whole("slow, ", "slow", gate) }
    });
    let layer = layer_over(DynStore::new(store.clone())).lease(LEASE);
    let server = Server::start(router.layer(layer)).await;
    let call = post("/").key("order-1001");

    let running = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    store.called(Operation::Renew, 9).await;
    call.send(&server).await.assert_rejected(409, "idempotency_key_in_flight");
    gate.open();
    let first = call.finish(running).await;
    first.assert_first(200, "slow, slow");
    call.send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}
