//! Within one process, where each moment can be chosen; and servers that die in the middle of
//! things.

use std::time::Duration;

use http::StatusCode;
use tokio::runtime::Runtime;
use tower_idempotency::{InFlight, OnAbandoned, PreviousAttempt};

use crate::support::{
    Arrived, Effects, Gate, Server, TestLayer, app, counting, gated, layer, post,
};

const WAIT: InFlight = InFlight::Wait(Duration::from_mins(1));

#[tokio::test]
async fn a_client_that_hangs_up_in_mid_handler_finds_its_response_later() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let arrived = Arrived::new();
    let layer = arrived.counted(layer().in_flight(WAIT));
    let server = Server::start(gated(&effects, &gate).layer(layer)).await;
    let call = post("/").key("order-1001").body("amount=1200");

    let first = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    drop(first);
    server.ended(1).await;
    let retry = call.begin(&server, usize::MAX).await;
    arrived.reached(2).await;
    gate.open();

    let response = call.finish(retry).await;
    assert_eq!((response.status, response.text(), response.is_replay()), (200, "done", true));
    assert_eq!(effects.attempts(), [(1, None)]);
}

#[tokio::test]
async fn a_waiter_that_hangs_up_leaves_the_winner_alone() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let server = Server::start(gated(&effects, &gate).layer(layer().in_flight(WAIT))).await;
    let call = post("/").key("order-1001");

    let running = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    drop(call.begin(&server, usize::MAX).await);
    server.ended(1).await;
    gate.open();
    let first = call.finish(running).await;
    first.assert_first(200, "done");
    call.send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn waiters_that_have_hung_up_do_not_run_what_failed() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let (ledger, handler_gate) = (effects.clone(), gate.clone());
    let router = app(&effects, move |_| {
        let (run, gate) = (ledger.count(), handler_gate.clone());
        async move {
            gate.passed().await;
            (
                if run == 1 { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK },
                format!("run {run}"),
            )
        }
    });
    let arrived = Arrived::new();
    let server = Server::start(router.layer(arrived.counted(layer().in_flight(WAIT)))).await;
    let call = post("/").key("order-1001");

    let running = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    let mut waiters = Vec::new();
    for _ in 0..5 {
        waiters.push(call.begin(&server, usize::MAX).await);
    }
    arrived.reached(6).await;
    drop(waiters);
    server.ended(5).await;
    gate.open();
    call.finish(running).await.assert_first(500, "run 1");
    let second = call.send(&server).await;
    second.assert_first(200, "run 2");
    call.send(&server).await.assert_replays(&second);
    let failed = PreviousAttempt::Failed { status: Some(StatusCode::INTERNAL_SERVER_ERROR) };
    assert_eq!(effects.attempts(), [(1, None), (2, Some(failed))]);
}

/// Runs `then` on a second server, after a first one over the same store died while its handler
/// ran.
fn after_a_crash(layer: TestLayer, effects: &Effects, then: impl AsyncFnOnce(&Server)) {
    let doomed = Runtime::new().unwrap();
    doomed.block_on(async {
        let server = Server::start(gated(effects, &Gate::new()).layer(layer.clone())).await;
        let connection = post("/").key("order-1001").begin(&server, usize::MAX).await;
        effects.reached(1).await;
        drop((server, connection));
    });
    doomed.shutdown_background();
    Runtime::new().unwrap().block_on(async {
        let server = Server::start(counting(effects).layer(layer)).await;
        then(&server).await;
    });
}

#[test]
fn an_attempt_that_was_cut_off_is_known_as_abandoned_and_runs_again() {
    let effects = Effects::new();
    let layer = layer().lease(Duration::from_millis(60)).in_flight(WAIT);
    after_a_crash(layer, &effects, async |server| {
        // Until its lease lapses it is in flight; the request waits for that.
        let call = post("/").key("order-1001");
        let second = call.send(server).await;
        second.assert_first(200, "run 2");
        call.send(server).await.assert_replays(&second);
    });
    assert_eq!(effects.attempts(), [(1, None), (2, Some(PreviousAttempt::Abandoned))]);
}

#[test]
fn an_attempt_that_was_cut_off_is_not_run_again_if_policy_says_so() {
    let effects = Effects::new();
    let layer =
        layer().lease(Duration::from_millis(60)).in_flight(WAIT).on_abandoned(OnAbandoned::Reject);
    after_a_crash(layer, &effects, async |server| {
        for _ in 0..2 {
            let response = post("/").key("order-1001").send(server).await;
            response.assert_rejected(409, "idempotency_outcome_unknown");
        }
        let other = post("/other").key("order-1001").send(server).await;
        other.assert_rejected(409, "idempotency_key_reused");
    });
    assert_eq!(effects.attempts(), [(1, None)]);
}
