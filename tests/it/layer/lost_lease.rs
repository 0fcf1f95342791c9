//! Attempts that lose their lease while they run.

use std::time::Duration;

use axum::Router;
use http::StatusCode;
use tower_idempotency::store::StoreErrorKind;
use tower_idempotency::{Attempt, InFlight, PreviousAttempt};

use crate::support::{
    Effects, Fault, Gate, Operation, Scripted, Server, WireResponse, app, layers_of_two_processes,
    patiently, post, store,
};

const LEASE: Duration = Duration::from_millis(60);

/// Two servers over one store; the attempts of the first wait until their lease is lost and then at
/// the gate.
struct Overtaken {
    store: Scripted,
    effects: Effects,
    gate: Gate,
    one: Server,
    other: Server,
}

impl Overtaken {
    /// The handler of the second server waits at `second`, then responds with `status`.
    async fn start(status: StatusCode, second: &Gate) -> Self {
        let (effects, gate) = (Effects::new(), Gate::new());
        let store = Scripted::over(store());
        let [one, other] = layers_of_two_processes(&store)
            .map(|layer| layer.lease(LEASE).in_flight(InFlight::Wait(Duration::from_mins(1))));
        let first_gate = gate.clone();
        let slow = app(&effects, move |request| {
            let gate = first_gate.clone();
            async move {
                let attempt = request.extensions().get::<Attempt>().unwrap();
                assert!(!attempt.has_lost_lease());
                patiently(attempt.lease_lost()).await;
                assert!(attempt.has_lost_lease());
                patiently(attempt.lease_lost()).await;
                gate.passed().await;
                (StatusCode::OK, "first")
            }
        });
        let second = second.clone();
        let quick = app(&effects, move |_| {
            let second = second.clone();
            async move {
                second.passed().await;
                (status, "second")
            }
        });
        let serve = |router: Router, layer| Server::start(router.layer(layer));
        let (one, other) = (serve(slow, one).await, serve(quick, other).await);
        Self { store, effects, gate, one, other }
    }

    /// The first attempt begins, cannot renew its lease, and the second one begins; gives the
    /// connection of the first.
    async fn overtake(&self) -> (tokio::net::TcpStream, tokio::net::TcpStream) {
        self.store.fault(Operation::Renew, Fault::Error(StoreErrorKind::Unavailable));
        let call = post("/").key("order-1001");
        let first = call.begin(&self.one, usize::MAX).await;
        self.effects.reached(1).await;
        let second = call.begin(&self.other, usize::MAX).await;
        self.effects.reached(2).await;
        self.store.heal();
        assert_eq!(self.effects.attempts(), [(1, None), (2, Some(PreviousAttempt::Abandoned))]);
        (first, second)
    }

    async fn finish(&self, stream: tokio::net::TcpStream) -> WireResponse {
        post("/").key("order-1001").finish(stream).await
    }
}

fn opened() -> Gate {
    let gate = Gate::new();
    gate.open();
    gate
}

#[tokio::test]
async fn the_handler_is_told_and_the_client_gets_the_response_of_the_attempt_that_finished() {
    let overtaken = Overtaken::start(StatusCode::CREATED, &opened()).await;
    let (first, second) = overtaken.overtake().await;
    let second = overtaken.finish(second).await;
    second.assert_first(201, "second");
    overtaken.gate.open();
    overtaken.finish(first).await.assert_replays(&second);
    post("/").key("order-1001").send(&overtaken.one).await.assert_replays(&second);
}

#[tokio::test]
async fn its_own_response_goes_to_the_client_while_the_other_attempt_still_runs_and_is_not_stored()
{
    let gate = Gate::new();
    let overtaken = Overtaken::start(StatusCode::CREATED, &gate).await;
    let (first, second) = overtaken.overtake().await;
    overtaken.gate.open();
    overtaken.finish(first).await.assert_first(200, "first");
    gate.open();
    let second = overtaken.finish(second).await;
    second.assert_first(201, "second");
    post("/").key("order-1001").send(&overtaken.one).await.assert_replays(&second);
}

#[tokio::test]
async fn its_own_response_goes_to_the_client_when_the_other_attempt_came_to_nothing() {
    for status in [StatusCode::BAD_GATEWAY, StatusCode::UNPROCESSABLE_ENTITY] {
        let overtaken = Overtaken::start(status, &opened()).await;
        let (first, second) = overtaken.overtake().await;
        overtaken.finish(second).await.assert_first(status.as_u16(), "second");
        overtaken.gate.open();
        overtaken.finish(first).await.assert_first(200, "first");
    }
}

#[tokio::test]
async fn its_own_response_goes_to_the_client_when_the_store_cannot_tell_of_the_other() {
    for fault in [Fault::Error(StoreErrorKind::Unavailable), Fault::Error(StoreErrorKind::Corrupt)]
    {
        let overtaken = Overtaken::start(StatusCode::CREATED, &opened()).await;
        let (first, second) = overtaken.overtake().await;
        let second = overtaken.finish(second).await;
        overtaken.store.fault(Operation::Inspect, fault);
        overtaken.gate.open();
        overtaken.finish(first).await.assert_first(200, "first");
        overtaken.store.heal();
        post("/").key("order-1001").send(&overtaken.one).await.assert_replays(&second);
    }
}

#[tokio::test]
async fn the_heartbeat_ends_with_the_lease() {
    let overtaken = Overtaken::start(StatusCode::CREATED, &opened()).await;
    let (first, second) = overtaken.overtake().await;
    overtaken.finish(second).await.assert_first(201, "second");
    // The first attempt hears of its loss by its next renewal, and that is its last.
    let renewals = overtaken.store.calls(Operation::Renew);
    overtaken.store.called(Operation::Renew, renewals + 1).await;
    tokio::time::sleep(3 * LEASE).await;
    assert_eq!(overtaken.store.calls(Operation::Renew), renewals + 1);
    overtaken.gate.open();
    overtaken.finish(first).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_blocks_its_thread_does_not_lose_its_lease() {
    let effects = Effects::new();
    let store = Scripted::over(store());
    let [one, other] = layers_of_two_processes(&store).map(|layer| layer.lease(LEASE));
    let renewals = store.clone();
    let slow = app(&effects, move |_| {
        let store = renewals.clone();
        async move {
            tokio::task::yield_now().await;
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(store.called(Operation::Renew, 9));
            });
            "done"
        }
    });
    let server = Server::start(slow.clone().layer(one)).await;
    let beside = Server::start(slow.layer(other)).await;
    let call = post("/").key("order-1001");
    let running = call.begin(&server, usize::MAX).await;
    for _ in 0..2 {
        store.called(Operation::Renew, 4).await;
        call.send(&beside).await.assert_rejected(409, "idempotency_key_in_flight");
    }
    call.finish(running).await.assert_first(200, "done");
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn waiters_in_its_process_get_the_response_of_the_other() {
    let overtaken = Overtaken::start(StatusCode::CREATED, &opened()).await;
    let (first, second) = overtaken.overtake().await;
    let second = overtaken.finish(second).await;
    second.assert_first(201, "second");
    // The first attempt still runs, and knows that its lease is lost.
    post("/").key("order-1001").send(&overtaken.one).await.assert_replays(&second);
    overtaken.gate.open();
    overtaken.finish(first).await.assert_replays(&second);
}
