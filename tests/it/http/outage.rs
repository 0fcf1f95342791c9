//! Stores that are down, slow, full or damaged.

use std::time::{Duration, Instant};

use tower_idempotency::store::{DynStore, ErrorKind, MemoryStore};
use tower_idempotency::{InFlight, OnFailed, Previous};

use crate::support::{
    Effects, Fault, Gate, Operation, Scripted, Server, TestLayer, app, counting, layer_over, post, store,
};

fn scripted() -> (Scripted, TestLayer) {
    let store = Scripted::over(store());
    let layer = layer_over(DynStore::new(store.clone()));
    (store, layer)
}

#[tokio::test]
async fn nothing_runs_while_the_store_cannot_say_what_ran_before() {
    let kinds = [ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::Full, ErrorKind::Corrupt];
    for kind in kinds {
        let effects = Effects::new();
        let (store, layer) = scripted();
        let server = Server::start(counting(&effects).layer(layer.retry_after(Duration::from_secs(3)))).await;
        let call = post("/").key("order-1001");

        store.fault(Operation::Reserve, Fault::Error(kind));
        for _ in 0..2 {
            let refused = call.send(&server).await;
            refused.assert_refused(503, "idempotency_store_unavailable");
            assert_eq!(refused.header("retry-after"), Some("3"));
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
        Server::start(counting(&effects).layer(layer.store_timeout(Duration::from_millis(50)))).await;
    store.fault(Operation::Reserve, Fault::Hang);

    let start = Instant::now();
    let refused = post("/").key("order-1001").send(&server).await;
    refused.assert_refused(503, "idempotency_store_unavailable");
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert!(start.elapsed() < Duration::from_secs(20), "it took {:?}", start.elapsed());
    assert_eq!(effects.count(), 0);
}

#[tokio::test]
async fn a_waiter_is_not_kept_by_a_store_that_hangs() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let (store, layer) = scripted();
    let handler_gate = gate.clone();
    let router = app(&effects, move |_| {
        let gate = handler_gate.clone();
        async move { gate.passed().await }
    });
    let bound = Duration::from_millis(50);
    let server =
        Server::start(router.layer(layer.store_timeout(bound).in_flight(InFlight::Wait(bound)))).await;
    let call = post("/").key("order-1001");

    let running = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    store.fault(Operation::Changed, Fault::Hang);
    let start = Instant::now();
    let refused = call.send(&server).await;
    assert!([409, 503].contains(&refused.status), "{refused:?}");
    assert!(start.elapsed() < Duration::from_secs(20), "it took {:?}", start.elapsed());
    gate.open();
    assert_eq!(call.finish(running).await.status, 200);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_waiter_is_refused_when_the_store_fails_it() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let (store, layer) = scripted();
    let handler_gate = gate.clone();
    let router = app(&effects, move |_| {
        let gate = handler_gate.clone();
        async move { gate.passed().await }
    });
    let layer = layer.in_flight(InFlight::Wait(Duration::from_mins(1)));
    let server = Server::start(router.layer(layer)).await;
    let call = post("/").key("order-1001");

    let running = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    store.fault(Operation::Changed, Fault::Error(ErrorKind::Unavailable));
    call.send(&server).await.assert_refused(503, "idempotency_store_unavailable");
    gate.open();
    let first = call.finish(running).await;
    call.send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn an_answer_that_could_not_be_kept_reaches_the_client_and_its_key_stays_taken() {
    let faults = [Fault::Error(ErrorKind::Unavailable), Fault::Hang];
    for fault in faults {
        let effects = Effects::new();
        let (store, layer) = scripted();
        let layer = layer.store_timeout(Duration::from_millis(50));
        let server = Server::start(counting(&effects).layer(layer)).await;
        let call = post("/").key("order-1001");

        store.fault(Operation::Complete, fault);
        call.send(&server).await.assert_first(200, "run 1");
        assert_eq!(store.calls(Operation::Release), 0, "the claim is not given up");
        call.send(&server).await.assert_refused(409, "idempotency_key_in_flight");
        assert_eq!(effects.count(), 1);
    }
}

#[tokio::test]
async fn an_answer_that_was_kept_although_the_store_did_not_say_so_is_replayed() {
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
async fn a_reservation_whose_answer_was_lost_runs_nothing_and_is_abandoned_when_its_lease_lapses() {
    let effects = Effects::new();
    let (store, layer) = scripted();
    let layer = layer.lease(Duration::from_millis(60)).in_flight(InFlight::Wait(Duration::from_mins(1)));
    let server = Server::start(counting(&effects).layer(layer)).await;
    let call = post("/").key("order-1001");

    store.fault(Operation::Reserve, Fault::Lost);
    call.send(&server).await.assert_refused(503, "idempotency_store_unavailable");
    store.heal();
    call.send(&server).await.assert_first(200, "run 1");
    assert_eq!(effects.attempts(), [(2, Some(Previous::Abandoned))]);
}

#[tokio::test]
async fn a_renewal_that_fails_does_not_disturb_the_handler() {
    for fault in [Fault::Error(ErrorKind::Unavailable), Fault::Hang] {
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
            .on_failed(OnFailed::Refuse);
        let server = Server::start(router.layer(layer)).await;
        let call = post("/").key("order-1001");

        store.fault(Operation::Renew, fault);
        let running = call.begin(&server, usize::MAX).await;
        store.called(Operation::Renew, 6).await;
        gate.open();
        let first = call.finish(running).await;
        first.assert_first(200, "done");
        // Nobody took the record over meanwhile, so the answer was kept in spite of the lapsed lease.
        call.send(&server).await.assert_replays(&first);
        assert_eq!(effects.count(), 1);
    }
}

#[tokio::test]
async fn a_full_store_refuses_new_keys_and_forgets_no_old_one() {
    let effects = Effects::new();
    let layer = layer_over(DynStore::new(MemoryStore::new().max_records(2)));
    let server = Server::start(counting(&effects).layer(layer)).await;
    let old = [post("/").key("order-1001"), post("/").key("order-1002")];
    let first = [old[0].send(&server).await, old[1].send(&server).await];

    let refused = post("/").key("order-1003").send(&server).await;
    refused.assert_refused(503, "idempotency_store_unavailable");
    for (call, first) in old.iter().zip(&first) {
        call.send(&server).await.assert_replays(first);
    }
    assert_eq!(effects.count(), 2);
}
