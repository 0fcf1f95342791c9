//! Stores that are down, slow, full or damaged.

use std::time::{Duration, Instant};

use http::StatusCode;
use http::request::Parts;
use tower_idempotency::store::{DynStore, StoreErrorKind};
use tower_idempotency::{Attempt, InFlight, MemoryStore, OnFailed, OnOutage, PreviousAttempt};

use crate::support::{
    Effects, Fault, Gate, Operation, Scripted, Server, TestLayer, app, counting, gated, layer_over,
    layers_of_two_processes, post, store,
};

const LEASE: Duration = Duration::from_millis(60);

fn scripted() -> (Scripted, TestLayer) {
    let store = Scripted::over(store());
    let layer = layer_over(DynStore::new(store.clone()));
    (store, layer)
}

#[tokio::test]
async fn nothing_runs_while_the_store_cannot_say_what_ran_before() {
    let kinds = [
        StoreErrorKind::Unavailable,
        StoreErrorKind::Timeout,
        StoreErrorKind::Full,
        StoreErrorKind::Corrupt,
    ];
    for kind in kinds {
        let effects = Effects::new();
        let (store, layer) = scripted();
        let server =
            Server::start(counting(&effects).layer(layer.retry_after(Duration::from_secs(3))))
                .await;
        let call = post("/").key("order-1001");

        store.fault(Operation::Reserve, Fault::Error(kind));
        for _ in 0..2 {
            let rejected = call.send(&server).await;
            rejected.assert_rejected(503, "idempotency_store_unavailable");
            assert_eq!(rejected.header("retry-after"), Some("3"));
        }
        assert_eq!(effects.count(), 0, "{kind:?}");
        post("/").send(&server).await.assert_first(200, "run 1");
        store.heal();
        call.send(&server).await.assert_first(200, "run 2");
        assert_eq!(effects.attempts(), [(1, None)]);
    }
}

#[tokio::test]
async fn a_store_that_hangs_is_given_up_on_within_the_store_timeout() {
    let effects = Effects::new();
    let (store, layer) = scripted();
    let server =
        Server::start(counting(&effects).layer(layer.store_timeout(Duration::from_millis(50))))
            .await;
    store.fault(Operation::Reserve, Fault::Hang);

    let start = Instant::now();
    let rejected = post("/").key("order-1001").send(&server).await;
    rejected.assert_rejected(503, "idempotency_store_unavailable");
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert!(start.elapsed() < Duration::from_secs(20), "it took {:?}", start.elapsed());
    assert_eq!(effects.count(), 0);
}

/// Two servers over one store, as two processes, with a handler that waits at the gate.
async fn two_servers(
    effects: &Effects,
    gate: &Gate,
    set_up: impl Fn(TestLayer) -> TestLayer,
) -> (Scripted, Server, Server) {
    let store = Scripted::over(store());
    let [one, other] = layers_of_two_processes(&store);
    let one = Server::start(gated(effects, gate).layer(set_up(one))).await;
    let other = Server::start(gated(effects, gate).layer(set_up(other))).await;
    (store, one, other)
}

#[tokio::test]
async fn a_waiter_is_not_held_up_by_a_store_that_hangs() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let bound = Duration::from_millis(50);
    let set_up = |layer: TestLayer| layer.store_timeout(bound).in_flight(InFlight::Wait(bound));
    let (store, one, other) = two_servers(&effects, &gate, set_up).await;
    let call = post("/").key("order-1001");

    let running = call.begin(&one, usize::MAX).await;
    effects.reached(1).await;
    store.fault(Operation::Changed, Fault::Hang);
    let start = Instant::now();
    call.send(&other).await.assert_rejected(409, "idempotency_key_in_flight");
    assert!(start.elapsed() < Duration::from_secs(20), "it took {:?}", start.elapsed());
    gate.open();
    assert_eq!(call.finish(running).await.status, 200);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_waiter_is_rejected_when_the_store_fails() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let wait = |layer: TestLayer| layer.in_flight(InFlight::Wait(Duration::from_mins(1)));
    let (store, one, other) = two_servers(&effects, &gate, wait).await;
    let call = post("/").key("order-1001");

    let running = call.begin(&one, usize::MAX).await;
    effects.reached(1).await;
    store.fault(Operation::Changed, Fault::Error(StoreErrorKind::Unavailable));
    call.send(&other).await.assert_rejected(503, "idempotency_store_unavailable");
    gate.open();
    let first = call.finish(running).await;
    call.send(&other).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

fn open(layer: TestLayer) -> TestLayer {
    layer.on_outage(OnOutage::FailOpenRiskingDoubleEffects)
}

#[tokio::test]
async fn an_outage_under_the_open_policy_runs_every_request_and_marks_its_response() {
    for kind in [StoreErrorKind::Unavailable, StoreErrorKind::Timeout] {
        let effects = Effects::new();
        let (store, layer) = scripted();
        let server = Server::start(counting(&effects).layer(open(layer))).await;
        let call = post("/").key("order-1001");

        store.fault(Operation::Reserve, Fault::Error(kind));
        for run in 1..=2 {
            let response = call.send(&server).await;
            assert_eq!((response.status, response.text()), (200, &*format!("run {run}")));
            assert_eq!(response.header("x-idempotent-result"), Some("unguarded"));
        }
        let guarded = |head: &Parts| head.extensions.get::<Attempt>().unwrap().is_guarded();
        assert!(effects.heads().iter().all(|head| !guarded(head)));
        let in_doubt = |head: &Parts| head.extensions.get::<Attempt>().unwrap().is_in_doubt();
        assert!(effects.heads().iter().all(in_doubt), "it does not know of earlier attempts");
        store.heal();
        call.send(&server).await.assert_first(200, "run 3");
        assert!(guarded(&effects.heads()[2]));
    }
}

#[tokio::test]
async fn the_limit_of_requests_in_flight_holds_in_an_outage_too() {
    for in_flight in [InFlight::Reject, InFlight::Wait(Duration::from_mins(1))] {
        let (effects, gate) = (Effects::new(), Gate::new());
        let (store, layer) = scripted();
        let layer = open(layer).in_flight(in_flight).max_in_flight(1);
        let server = Server::start(gated(&effects, &gate).layer(layer)).await;
        store.fault(Operation::Reserve, Fault::Error(StoreErrorKind::Unavailable));

        let running = post("/").key("order-1001").begin(&server, usize::MAX).await;
        effects.reached(1).await;
        let other = post("/").key("order-1002");
        let rejected = other.send(&server).await;
        assert_eq!(rejected.status, 503);
        assert!(rejected.text().contains("idempotency_too_many_in_flight"), "{rejected:?}");
        gate.open();
        assert_eq!(
            post("/").finish(running).await.header("x-idempotent-result"),
            Some("unguarded")
        );
        assert_eq!(other.send(&server).await.status, 200);
        assert_eq!(effects.count(), 2);
    }
}

#[tokio::test]
async fn a_store_that_rejects_a_request_is_not_an_outage() {
    let kinds = [
        StoreErrorKind::Full,
        StoreErrorKind::Configuration,
        StoreErrorKind::Corrupt,
        StoreErrorKind::Decrypt,
        StoreErrorKind::Rejected,
        StoreErrorKind::Conflict,
    ];
    for kind in kinds {
        let effects = Effects::new();
        let (store, layer) = scripted();
        let server = Server::start(counting(&effects).layer(open(layer))).await;
        store.fault(Operation::Reserve, Fault::Error(kind));
        let rejected = post("/").key("order-1001").send(&server).await;
        rejected.assert_rejected(503, "idempotency_store_unavailable");
        assert_eq!(effects.count(), 0, "{kind:?}");
    }
}

#[tokio::test]
async fn what_is_known_to_be_in_flight_is_not_run_beside_itself_in_an_outage() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let set_up = |layer: TestLayer| open(layer).in_flight(InFlight::Wait(Duration::from_mins(1)));
    let (store, one, other) = two_servers(&effects, &gate, set_up).await;
    let call = post("/").key("order-1001");

    let running = call.begin(&one, usize::MAX).await;
    effects.reached(1).await;
    let waiting = call.begin(&other, usize::MAX).await;
    store.called(Operation::Changed, 1).await;
    store.fault(Operation::Reserve, Fault::Error(StoreErrorKind::Unavailable));
    gate.open();
    call.finish(running).await.assert_first(200, "done");
    call.finish(waiting).await.assert_rejected(503, "idempotency_store_unavailable");
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_response_that_could_not_be_stored_reaches_the_client_and_is_stored_as_soon_as_the_store_can()
 {
    let ends = [
        (Operation::Complete, StatusCode::CREATED),
        (Operation::Fail, StatusCode::BAD_GATEWAY),
        (Operation::Release, StatusCode::UNPROCESSABLE_ENTITY),
    ];
    for (operation, status) in ends {
        for fault in [Fault::Error(StoreErrorKind::Unavailable), Fault::Hang, Fault::Lost] {
            let effects = Effects::new();
            let store = Scripted::over(store());
            let [one, other] = layers_of_two_processes(&store).map(|layer| {
                let wait = InFlight::Wait(Duration::from_mins(1));
                layer
                    .store_timeout(Duration::from_millis(50))
                    .in_flight(wait)
                    .on_failed(OnFailed::Replay)
            });
            let response = move |_| async move { (status, "done") };
            let one = Server::start(app(&effects, response).layer(one)).await;
            let other = Server::start(app(&effects, response).layer(other)).await;
            let call = post("/").key("order-1001");

            store.fault(operation, fault);
            call.send(&one).await.assert_first(status.as_u16(), "done");
            // Once more in the background, and more than once.
            store.called(operation, 3).await;
            assert_eq!(effects.count(), 1);
            store.heal();
            let retry = call.send(&other).await;
            assert_eq!((retry.status, retry.text()), (status.as_u16(), "done"));
            assert_eq!(retry.is_replay(), operation != Operation::Release);
            let runs =
                if operation == Operation::Release { vec![(1, None); 2] } else { vec![(1, None)] };
            assert_eq!(effects.attempts(), runs, "{operation:?} {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_retried_write_gives_up_for_an_attempt_that_has_taken_the_record_over() {
    let effects = Effects::new();
    let store = Scripted::over(store());
    let [one, other] = layers_of_two_processes(&store)
        .map(|layer| layer.lease(LEASE).in_flight(InFlight::Wait(Duration::from_mins(1))));
    let one = Server::start(counting(&effects).layer(one)).await;
    let other = Server::start(counting(&effects).layer(other)).await;
    let call = post("/").key("order-1001");

    store.fault(Operation::Complete, Fault::Error(StoreErrorKind::Unavailable));
    store.fault(Operation::Renew, Fault::Error(StoreErrorKind::Unavailable));
    call.send(&one).await.assert_first(200, "run 1");
    call.send(&other).await.assert_first(200, "run 2");
    let before = store.calls(Operation::Complete);
    store.heal();
    store.called(Operation::Complete, before + 2).await;
    let replay = call.send(&one).await;
    assert!(replay.is_replay());
    assert_eq!(replay.text(), "run 2");
    assert_eq!(effects.attempts(), [(1, None), (2, Some(PreviousAttempt::Abandoned))]);
}

#[tokio::test]
async fn no_request_runs_an_operation_again_while_its_response_is_still_being_written() {
    let effects = Effects::new();
    let store = Scripted::over(store());
    let [one, other] = layers_of_two_processes(&store).map(|layer| layer.lease(LEASE));
    let one = Server::start(counting(&effects).layer(one)).await;
    let other = Server::start(counting(&effects).layer(other)).await;
    let call = post("/").key("order-1001");

    // As a server that is out of memory: it takes no response, but renews a lease.
    store.fault(Operation::Complete, Fault::Error(StoreErrorKind::Unavailable));
    let first = call.send(&one).await;
    first.assert_first(200, "run 1");
    for leases in 1..=4 {
        store.called(Operation::Renew, 3 * leases).await;
        call.send(&other).await.assert_rejected(409, "idempotency_key_in_flight");
    }
    let before = store.calls(Operation::Complete);
    store.heal();
    store.called(Operation::Complete, before + 1).await;
    call.send(&other).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_response_that_was_stored_although_the_store_did_not_say_so_is_replayed() {
    let effects = Effects::new();
    let (store, layer) = scripted();
    let server = Server::start(counting(&effects).layer(layer)).await;
    let call = post("/").key("order-1001");
    store.fault(Operation::Complete, Fault::Lost);
    let first = call.send(&server).await;
    first.assert_first(200, "run 1");
    call.send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_reservation_whose_reply_was_lost_runs_nothing_and_is_abandoned_when_its_lease_lapses() {
    let effects = Effects::new();
    let (store, layer) = scripted();
    let layer =
        layer.lease(Duration::from_millis(60)).in_flight(InFlight::Wait(Duration::from_mins(1)));
    let server = Server::start(counting(&effects).layer(layer)).await;
    let call = post("/").key("order-1001");

    store.fault(Operation::Reserve, Fault::Lost);
    call.send(&server).await.assert_rejected(503, "idempotency_store_unavailable");
    store.heal();
    call.send(&server).await.assert_first(200, "run 1");
    assert_eq!(effects.attempts(), [(2, Some(PreviousAttempt::Abandoned))]);
}

#[tokio::test]
async fn a_renewal_that_fails_does_not_disturb_the_handler() {
    for fault in [Fault::Error(StoreErrorKind::Unavailable), Fault::Hang] {
        let (effects, gate) = (Effects::new(), Gate::new());
        let (store, layer) = scripted();
        let handler_gate = gate.clone();
        let router = app(&effects, move |_| {
            let gate = handler_gate.clone();
            async move {
                gate.passed().await;
                "done"
            }
        });
        let layer = layer
            .lease(Duration::from_millis(30))
            .store_timeout(Duration::from_millis(10))
            .on_failed(OnFailed::Reject);
        let server = Server::start(router.layer(layer)).await;
        let call = post("/").key("order-1001");

        store.fault(Operation::Renew, fault);
        let running = call.begin(&server, usize::MAX).await;
        store.called(Operation::Renew, 6).await;
        gate.open();
        let first = call.finish(running).await;
        first.assert_first(200, "done");
        // No other request took the record over meanwhile, so the response was stored in spite of
        // the lapsed lease.
        call.send(&server).await.assert_replays(&first);
        assert_eq!(effects.count(), 1);
    }
}

#[tokio::test]
async fn a_full_store_rejects_new_keys_and_discards_no_old_one() {
    let effects = Effects::new();
    let layer = layer_over(DynStore::new(MemoryStore::new().max_records(2)));
    let server = Server::start(counting(&effects).layer(layer)).await;
    let old = [post("/").key("order-1001"), post("/").key("order-1002")];
    let first = [old[0].send(&server).await, old[1].send(&server).await];

    let rejected = post("/").key("order-1003").send(&server).await;
    rejected.assert_rejected(503, "idempotency_store_unavailable");
    for (call, first) in old.iter().zip(&first) {
        call.send(&server).await.assert_replays(first);
    }
    assert_eq!(effects.count(), 2);
}
