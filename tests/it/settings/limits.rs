//! How much the layer takes at one time: in all, and of one scope.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use http::StatusCode;
use tokio::sync::watch;
use tower_idempotency::store::{DynStore, StoreErrorKind};
use tower_idempotency::{InFlight, QuotaExceeded, Scope};

use crate::support::{
    Arrived, Call, Effects, Fault, Gate, Operation, Scripted, Server, TestLayer, WireResponse, app,
    gated, layer, layer_over, patiently, post, store,
};

/// A handler that does what the path says: `/wait` waits at the gate, `/panic` panics, `/stream`
/// has no length, and a number is the status.
fn stage(effects: &Effects, gate: &Gate) -> Router {
    let gate = gate.clone();
    app(effects, move |request| {
        let gate = gate.clone();
        async move {
            match &request.uri().path()[1..] {
                "wait" => gate.passed().await,
                "wait-and-panic" => {
                    gate.passed().await;
                    panic!("as it was told to");
                }
                "panic" => panic!("as it was told to"),
                status => return StatusCode::from_u16(status.parse().unwrap()).unwrap(),
            }
            StatusCode::OK
        }
    })
}

async fn start(effects: &Effects, gate: &Gate, guard: TestLayer) -> Server {
    Server::start(stage(effects, gate).layer(guard)).await
}

fn of(path: &str, key: &str) -> Call {
    post(path).key(key)
}

#[track_caller]
fn is_too_many(response: &WireResponse) {
    response.assert_rejected(503, "idempotency_too_many_in_flight");
    assert_eq!(response.header("x-should-retry"), None);
}

fn waiting() -> InFlight {
    InFlight::Wait(Duration::from_mins(1))
}

#[tokio::test]
async fn above_the_limit_a_new_operation_is_rejected_for_now() {
    for policy in [InFlight::Reject, waiting()] {
        let (effects, gate) = (Effects::new(), Gate::new());
        let guard = layer().max_in_flight(2).in_flight(policy).retry_after(Duration::from_secs(3));
        let server = start(&effects, &gate, guard).await;
        let calls = [of("/wait", "running-1"), of("/wait", "running-2")];
        let mut running = Vec::new();
        for (index, call) in calls.iter().enumerate() {
            running.push(call.begin(&server, usize::MAX).await);
            effects.reached(index + 1).await;
        }
        for _ in 0..2 {
            let rejected = of("/200", "third-1003").send(&server).await;
            is_too_many(&rejected);
            assert_eq!(rejected.header("retry-after"), Some("3"));
        }
        assert_eq!(effects.count(), 2);
        // An unguarded request is not counted.
        assert_eq!(post("/200").send(&server).await.status, 200);
        gate.open();
        for (call, running) in calls.iter().zip(running) {
            call.finish(running).await.assert_first(200, "");
        }
        of("/200", "third-1003").send(&server).await.assert_first(200, "");
    }
}

#[tokio::test]
async fn at_the_limit_requests_that_need_no_capacity_still_get_their_response() {
    for policy in [InFlight::Reject, waiting()] {
        let (effects, gate) = (Effects::new(), Gate::new());
        let server = start(&effects, &gate, layer().max_in_flight(1).in_flight(policy)).await;
        let finished = of("/200", "finished-1").send(&server).await;
        assert_eq!(of("/500", "failed-1").send(&server).await.status, 500);
        let call = of("/wait", "running-1");
        let running = call.begin(&server, usize::MAX).await;
        effects.reached(3).await;

        of("/200", "finished-1").send(&server).await.assert_replays(&finished);
        let other = of("/200", "finished-1").body("other").send(&server).await;
        other.assert_rejected(409, "idempotency_key_reused");
        let other = of("/wait", "running-1").body("other").send(&server).await;
        other.assert_rejected(409, "idempotency_key_reused");
        let other = of("/500", "failed-1").body("other").send(&server).await;
        other.assert_rejected(409, "idempotency_key_reused");
        // Another run of a failed operation takes capacity.
        is_too_many(&of("/500", "failed-1").send(&server).await);
        if policy == InFlight::Reject {
            of("/wait", "running-1")
                .send(&server)
                .await
                .assert_rejected(409, "idempotency_key_in_flight");
        }
        assert_eq!(effects.count(), 3);
        gate.open();
        call.finish(running).await.assert_first(200, "");
    }
}

#[tokio::test]
async fn at_the_limit_a_retry_waits_for_the_operation_that_takes_the_capacity() {
    let (effects, gate, arrived) = (Effects::new(), Gate::new(), Arrived::new());
    let guard = arrived.counted(layer().max_in_flight(1).in_flight(waiting()));
    let server = start(&effects, &gate, guard).await;
    let call = of("/wait", "running-1");
    let running = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    let mut retries = Vec::new();
    for count in 2..=4 {
        retries.push(call.begin(&server, usize::MAX).await);
        arrived.reached(count).await;
    }
    gate.open();
    let first = call.finish(running).await;
    first.assert_first(200, "");
    for retry in retries {
        call.finish(retry).await.assert_replays(&first);
    }
    assert_eq!(effects.count(), 1);
}

/// A waiter for an attempt that fails may run it again, in the capacity that it has left. On
/// several threads, because the waiter is woken while the attempt is still being put away.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_capacity_of_an_attempt_that_failed_is_free_for_its_waiter() {
    for round in 0..50 {
        let (effects, gate, arrived) = (Effects::new(), Gate::new(), Arrived::new());
        let guard = arrived.counted(layer().max_in_flight(1).in_flight(waiting()));
        let server = start(&effects, &gate, guard).await;
        let call = of("/wait-and-panic", &format!("running-{round}"));
        let running = call.begin(&server, usize::MAX).await;
        effects.reached(1).await;
        let retry = call.begin(&server, usize::MAX).await;
        arrived.reached(2).await;
        gate.open();
        assert_eq!(call.finish(running).await.status, 0);
        let retry = call.finish(retry).await;
        assert_eq!(retry.status, 0, "it ran again, and panicked again: {retry:?}");
        assert_eq!(effects.count(), 2);
    }
}

/// Asserts that a permit is free, by an operation that takes it.
async fn is_free(server: &Server, key: &str) {
    let asked = async {
        // The response may have come a moment before the permit is back.
        loop {
            let response = of("/200", key).send(server).await;
            if response.status != 503 {
                response.assert_first(200, "");
                return;
            }
        }
    };
    patiently(asked).await;
}

#[tokio::test]
async fn the_permit_comes_back_however_the_operation_ends() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let server = start(&effects, &gate, layer().max_in_flight(1)).await;
    for (path, status) in [("/200", 200), ("/400", 400), ("/500", 500), ("/panic", 0)] {
        assert_eq!(of(path, &format!("order-{status}")).send(&server).await.status, status);
        is_free(&server, &format!("after-{status}")).await;
    }
    // Rejections and replays retain no permit.
    of("/200", "order-200")
        .body("other")
        .send(&server)
        .await
        .assert_rejected(409, "idempotency_key_reused");
    assert!(of("/200", "order-200").send(&server).await.is_replay());
    is_free(&server, "after-all").await;
}

#[tokio::test]
async fn the_permit_comes_back_at_once_when_the_client_has_its_response() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let server = start(&effects, &gate, layer().max_in_flight(1)).await;
    for round in 0..50 {
        of("/200", &format!("order-{round}")).send(&server).await.assert_first(200, "");
    }
    assert_eq!(effects.count(), 50);
}

#[tokio::test]
async fn the_permit_comes_back_when_the_inner_service_errs() {
    let inner = tower::service_fn(|request: http::Request<axum::body::Body>| async move {
        match request.uri().path() {
            "/err" => Err(std::io::Error::other("the inner service broke")),
            _ => Ok(http::Response::new(axum::body::Body::empty())),
        }
    });
    let stack = tower::ServiceBuilder::new()
        .map_request(|request: http::Request<hyper::body::Incoming>| {
            request.map(axum::body::Body::new)
        })
        .layer(layer().max_in_flight(1))
        .service(inner);
    let server = Server::start(stack).await;
    assert_eq!(of("/err", "order-1001").send(&server).await.status, 0);
    is_free(&server, "order-1002").await;
}

#[tokio::test]
async fn an_operation_whose_client_has_hung_up_takes_capacity_until_it_has_ended() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let server = start(&effects, &gate, layer().max_in_flight(1)).await;
    let call = of("/wait", "running-1");
    drop(call.begin(&server, usize::MAX).await);
    effects.reached(1).await;
    server.ended(1).await;
    is_too_many(&of("/200", "order-1001").send(&server).await);
    gate.open();
    is_free(&server, "order-1002").await;
    assert!(call.send(&server).await.is_replay());
}

#[tokio::test]
async fn a_response_that_is_written_in_the_background_takes_capacity_until_it_is_stored() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let scripted = Scripted::over(store());
    let guard = layer_over(DynStore::new(scripted.clone())).max_in_flight(1);
    let server = start(&effects, &gate, guard).await;
    scripted.fault(Operation::Complete, Fault::Error(StoreErrorKind::Unavailable));
    let first = of("/200", "order-1001").send(&server).await;
    first.assert_first(200, "");
    is_too_many(&of("/200", "order-1002").send(&server).await);
    scripted.heal();
    is_free(&server, "order-1003").await;
    of("/200", "order-1001").send(&server).await.assert_replays(&first);
}

#[tokio::test]
async fn clones_that_are_made_after_it_share_the_limit() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let before = layer();
    let limited = before.clone().max_in_flight(1);
    let one = stage(&effects, &gate).layer(limited.clone().retention(Duration::from_hours(1)));
    let other = stage(&effects, &gate).layer(limited);
    let (one, other) = (Server::start(one).await, Server::start(other).await);
    let unlimited = start(&effects, &gate, before).await;
    let call = of("/wait", "running-1");
    let running = call.begin(&one, usize::MAX).await;
    effects.reached(1).await;
    is_too_many(&of("/200", "order-1001").send(&other).await);
    of("/200", "order-1001").send(&unlimited).await.assert_first(200, "");
    gate.open();
    call.finish(running).await.assert_first(200, "");
    is_free(&other, "order-1002").await;
}

#[tokio::test]
async fn a_capacity_of_zero_is_accepted_and_one_above_the_maximum_is_the_maximum() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let server = start(&effects, &gate, layer().max_in_flight(0)).await;
    is_too_many(&of("/200", "order-1001").send(&server).await);
    assert_eq!(effects.count(), 0);
    let server = start(&effects, &gate, layer().max_in_flight(usize::MAX)).await;
    of("/200", "order-1001").send(&server).await.assert_first(200, "");
}

/// A count of what each tenant has in flight.
#[derive(Clone, Default)]
struct Tenants {
    running: Arc<watch::Sender<HashMap<Scope, usize>>>,
    asked: Arc<Mutex<usize>>,
}

struct Running(Scope, Tenants);

impl Drop for Running {
    fn drop(&mut self) {
        self.1.running.send_modify(|running| *running.get_mut(&self.0).unwrap() -= 1);
    }
}

impl Tenants {
    fn limited(&self, guard: TestLayer, most: usize) -> TestLayer {
        let tenants = self.clone();
        guard
            .scope(|parts| parts.headers.get("x-tenant").map_or_else(Scope::anonymous, Scope::new))
            .quota(move |scope| {
                *tenants.asked.lock().unwrap() += 1;
                let mut taken = false;
                tenants.running.send_modify(|running| {
                    let running = running.entry(scope.clone()).or_insert(0);
                    taken = *running < most;
                    *running += usize::from(taken);
                });
                if taken {
                    Ok(Running(scope.clone(), tenants.clone()))
                } else {
                    Err(QuotaExceeded::new(Duration::from_millis(4200)))
                }
            })
    }

    /// Waits until no tenant holds a permit.
    async fn idle(&self) {
        let mut running = self.running.subscribe();
        patiently(running.wait_for(|running| running.values().all(|count| *count == 0)))
            .await
            .unwrap();
    }
}

fn by(tenant: &str, path: &str, key: &str) -> Call {
    of(path, key).header("X-Tenant", tenant)
}

#[track_caller]
fn is_exceeded(response: &WireResponse) {
    response.assert_rejected(429, "idempotency_quota_exceeded");
    assert_eq!(response.header("retry-after"), Some("5"), "that of the quota, rounded up");
}

#[tokio::test]
async fn a_quota_is_asked_for_each_scope_and_given_back() {
    for policy in [InFlight::Reject, waiting()] {
        let (effects, gate, tenants) = (Effects::new(), Gate::new(), Tenants::default());
        let server = start(&effects, &gate, tenants.limited(layer().in_flight(policy), 1)).await;
        let finished = by("alice", "/200", "finished-1").send(&server).await;
        finished.assert_first(200, "");
        let call = by("alice", "/wait", "running-1");
        let running = call.begin(&server, usize::MAX).await;
        effects.reached(2).await;

        is_exceeded(&by("alice", "/200", "order-1001").send(&server).await);
        by("bob", "/200", "order-1001").send(&server).await.assert_first(200, "");
        by("alice", "/200", "finished-1").send(&server).await.assert_replays(&finished);
        let other = by("alice", "/200", "finished-1").body("other").send(&server).await;
        other.assert_rejected(409, "idempotency_key_reused");
        if policy == InFlight::Reject {
            call.send(&server).await.assert_rejected(409, "idempotency_key_in_flight");
        }
        assert_eq!(effects.count(), 3);
        gate.open();
        call.finish(running).await.assert_first(200, "");
        tenants.idle().await;
        by("alice", "/200", "order-1001").send(&server).await.assert_first(200, "");
        tenants.idle().await;
    }
}

#[tokio::test]
async fn what_a_quota_gave_is_dropped_however_the_operation_ends() {
    let (effects, gate, tenants) = (Effects::new(), Gate::new(), Tenants::default());
    let server = start(&effects, &gate, tenants.limited(layer(), 1)).await;
    for (path, status) in [("/200", 200), ("/400", 400), ("/500", 500), ("/panic", 0)] {
        assert_eq!(
            by("alice", path, &format!("order-{status}")).send(&server).await.status,
            status
        );
        tenants.idle().await;
    }
    drop(by("alice", "/wait", "hung-up-1").begin(&server, usize::MAX).await);
    effects.reached(5).await;
    server.ended(5).await;
    is_exceeded(&by("alice", "/200", "order-1001").send(&server).await);
    gate.open();
    tenants.idle().await;
    // Replays and rejections retain no permit.
    assert!(by("alice", "/200", "order-200").send(&server).await.is_replay());
    by("alice", "/200", "order-200")
        .body("other")
        .send(&server)
        .await
        .assert_rejected(409, "idempotency_key_reused");
    tenants.idle().await;
}

#[tokio::test]
async fn a_retry_waits_although_the_quota_is_used_up() {
    let (effects, gate, tenants) = (Effects::new(), Gate::new(), Tenants::default());
    let server = start(&effects, &gate, tenants.limited(layer().in_flight(waiting()), 1)).await;
    let call = by("alice", "/wait", "running-1");
    let running = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    let retry = call.begin(&server, usize::MAX).await;
    let asked = *tenants.asked.lock().unwrap();
    assert!(asked >= 1);
    gate.open();
    let first = call.finish(running).await;
    first.assert_first(200, "");
    call.finish(retry).await.assert_replays(&first);
    tenants.idle().await;
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_quota_does_not_count_unguarded_requests() {
    let (effects, gate, tenants) = (Effects::new(), Gate::new(), Tenants::default());
    let server = start(&effects, &gate, tenants.limited(layer(), 0)).await;
    assert_eq!(post("/200").send(&server).await.status, 200);
    assert_eq!(post("/200").key("two words").send(&server).await.status, 400);
    assert_eq!(*tenants.asked.lock().unwrap(), 0);
    is_exceeded(&by("alice", "/200", "order-1001").send(&server).await);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_quota_that_says_so_is_exceeded_without_a_look_into_the_store() {
    for (exceeded, looks) in [
        (QuotaExceeded::new(Duration::from_secs(5)), 3),
        (QuotaExceeded::new(Duration::from_secs(5)).without_look(), 0),
    ] {
        let (effects, gate, scripted) = (Effects::new(), Gate::new(), Scripted::over(store()));
        let guard =
            layer_over(DynStore::new(scripted.clone())).quota(move |_| Err::<(), _>(exceeded));
        let server = start(&effects, &gate, guard).await;
        for _ in 0..3 {
            is_exceeded(&of("/200", "order-1001").send(&server).await);
        }
        assert_eq!(
            (scripted.calls(Operation::Inspect), scripted.calls(Operation::Reserve)),
            (looks, 0)
        );
        assert_eq!(effects.count(), 0);
    }
}

#[tokio::test]
async fn at_both_limits_the_permit_that_the_quota_made_useless_is_released() {
    let (effects, gate, tenants) = (Effects::new(), Gate::new(), Tenants::default());
    let server = start(&effects, &gate, tenants.limited(layer().max_in_flight(1), 0)).await;
    for _ in 0..3 {
        is_exceeded(&by("alice", "/200", "order-1001").send(&server).await);
    }
    assert_eq!(effects.count(), 0);
}

#[tokio::test]
async fn a_store_that_is_unavailable_takes_no_capacity() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let scripted = Scripted::over(store());
    let guard = layer_over(DynStore::new(scripted.clone())).max_in_flight(1);
    let server = Server::start(gated(&effects, &gate).layer(guard)).await;
    gate.open();
    scripted.fault(Operation::Reserve, Fault::Error(StoreErrorKind::Unavailable));
    for _ in 0..3 {
        post("/")
            .key("order-1001")
            .send(&server)
            .await
            .assert_rejected(503, "idempotency_store_unavailable");
    }
    scripted.heal();
    post("/").key("order-1001").send(&server).await.assert_first(200, "done");
}
