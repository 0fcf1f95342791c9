//! What an operator sees: counters without keys, and the words for the state of an attempt.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use metrics::Key;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tower_idempotency::store::{DynStore, State, StoreErrorKind};
use tower_idempotency::{IdempotencyKey, InFlight, OnOutage, Scope};

use crate::support::{
    Effects, Fault, Operation, Scripted, Server, app, counting, layer, layer_over,
    layers_of_two_processes, post, store,
};

/// As the crate's first page lists them.
const COUNTERS: [&str; 6] = [
    "idempotency_requests_total",
    "idempotency_attempts_total",
    "idempotency_settled_total",
    "idempotency_retried_writes_total",
    "idempotency_leases_lost_total",
    "idempotency_store_errors_total",
];

/// Runs `scene` on a runtime of its own and tells what was counted meanwhile, by name and labels.
fn counted(scene: impl AsyncFnOnce()) -> BTreeMap<String, u64> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(scene()));
    let snapshot = snapshotter.snapshot().into_vec();
    let counters = snapshot.into_iter().filter_map(|(key, _, _, value)| match value {
        DebugValue::Counter(count) => Some((series(key.key()), count)),
        DebugValue::Gauge(_) | DebugValue::Histogram(_) => None,
    });
    counters.collect()
}

/// The name and the labels.
fn series(key: &Key) -> String {
    let labels = key.labels().map(|label| format!("{}={}", label.key(), label.value()));
    format!("{} {}", key.name(), labels.collect::<Vec<_>>().join(" ")).trim_end().to_owned()
}

/// A counter without a description is shown without its meaning.
#[test]
fn every_counter_is_described() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        let layer = layer();
        for name in COUNTERS {
            metrics::counter!(name).increment(1);
        }
        drop(layer);
    });
    for (key, unit, description, _) in snapshotter.snapshot().into_vec() {
        let name = key.key().name().to_owned();
        assert_eq!(unit, Some(metrics::Unit::Count), "{name}");
        assert!(description.is_some(), "{name}");
    }
}

fn expect(counted: &BTreeMap<String, u64>, expected: &[(&str, u64)]) {
    let expected: BTreeMap<_, _> =
        expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    assert_eq!(*counted, expected);
}

#[test]
fn every_guarded_request_is_counted_by_what_became_of_it() {
    let counters = counted(async || {
        let effects = Effects::new();
        let server = Server::start(counting(&effects).layer(layer())).await;
        let call = post("/").key("order-1001");
        for _ in 0..3 {
            call.send(&server).await;
        }
        call.body("other").send(&server).await;
        post("/").key("order 1001").send(&server).await;
        post("/").send(&server).await;
    });
    expect(
        &counters,
        &[
            ("idempotency_attempts_total previous=none", 1),
            ("idempotency_requests_total result=executed", 1),
            ("idempotency_requests_total result=idempotency_key_invalid", 1),
            ("idempotency_requests_total result=idempotency_key_reused", 1),
            ("idempotency_requests_total result=replayed", 2),
            ("idempotency_settled_total operation=complete result=stored", 1),
        ],
    );
}

#[test]
fn attempts_are_counted_by_what_the_one_before_came_to() {
    let counters = counted(async || {
        let effects = Effects::new();
        let ledger = effects.clone();
        let router = app(&effects, move |_| {
            let first = ledger.count() == 1;
            async move { if first { StatusCode::BAD_GATEWAY } else { StatusCode::OK } }
        });
        let store = Scripted::over(store());
        let layer = layer_over(DynStore::new(store.clone()))
            .lease(Duration::from_millis(60))
            .in_flight(InFlight::Wait(Duration::from_mins(1)));
        let server = Server::start(router.layer(layer)).await;
        let failed = post("/").key("order-1001");
        failed.send(&server).await;
        failed.send(&server).await;

        store.fault(Operation::Reserve, Fault::Lost);
        post("/").key("order-1002").send(&server).await;
        store.heal();
        post("/").key("order-1002").send(&server).await;
    });
    expect(
        &counters,
        &[
            ("idempotency_attempts_total previous=abandoned", 1),
            ("idempotency_attempts_total previous=failed", 1),
            ("idempotency_attempts_total previous=none", 1),
            ("idempotency_requests_total result=executed", 3),
            ("idempotency_requests_total result=idempotency_store_unavailable", 1),
            ("idempotency_settled_total operation=complete result=stored", 2),
            ("idempotency_settled_total operation=fail result=stored", 1),
            ("idempotency_store_errors_total operation=reserve kind=timeout", 1),
        ],
    );
}

#[test]
fn what_goes_wrong_with_the_store_is_counted() {
    let counters = counted(async || {
        let effects = Effects::new();
        let store = Scripted::over(store());
        let [one, other] = layers_of_two_processes(&store).map(|layer| {
            layer
                .on_outage(OnOutage::FailOpenRiskingDoubleEffects)
                .in_flight(InFlight::Wait(Duration::from_mins(1)))
        });
        let one = Server::start(counting(&effects).layer(one)).await;
        let other = Server::start(counting(&effects).layer(other)).await;

        store.fault(Operation::Complete, Fault::Error(StoreErrorKind::Unavailable));
        post("/").key("order-1001").send(&one).await;
        store.heal();
        assert!(post("/").key("order-1001").send(&other).await.is_replay());

        store.fault(Operation::Reserve, Fault::Error(StoreErrorKind::Unavailable));
        post("/").key("order-1002").send(&one).await;
    });
    expect(
        &counters,
        &[
            ("idempotency_attempts_total previous=none", 1),
            ("idempotency_requests_total result=executed", 1),
            ("idempotency_requests_total result=replayed", 1),
            ("idempotency_requests_total result=unguarded", 1),
            ("idempotency_retried_writes_total operation=complete result=stored", 1),
            ("idempotency_settled_total operation=complete result=retried", 1),
            ("idempotency_store_errors_total operation=complete kind=unavailable", 1),
            ("idempotency_store_errors_total operation=reserve kind=unavailable", 1),
        ],
    );
}

#[test]
fn a_renewal_that_finds_the_response_of_its_own_attempt_is_not_a_lost_lease() {
    let counters = counted(async || {
        let effects = Effects::new();
        let store = Scripted::over(store());
        let layer = layer_over(DynStore::new(store.clone())).lease(Duration::from_millis(60));
        let server = Server::start(counting(&effects).layer(layer)).await;
        // The response is in the store, but the reply that says so is lost.
        store.fault(Operation::Complete, Fault::Lost);
        let call = post("/").key("order-1001");
        call.send(&server).await;
        store.called(Operation::Renew, 1).await;
        let before = store.calls(Operation::Complete);
        store.heal();
        store.called(Operation::Complete, before + 1).await;
        tokio::task::yield_now().await;
    });
    let retried = "idempotency_retried_writes_total operation=complete result=stored";
    assert_eq!(counters.get(retried), Some(&1));
    assert!(!counters.keys().any(|name| name.contains("leases_lost")), "{counters:?}");
}

#[tokio::test]
async fn an_operator_can_tell_running_abandoned_failed_and_finished_apart() {
    let effects = Effects::new();
    let ledger = effects.clone();
    let router = app(&effects, move |_| {
        let run = ledger.count();
        async move { if run == 1 { StatusCode::BAD_GATEWAY } else { StatusCode::CREATED } }
    });
    let store = Scripted::over(store());
    let layer = layer_over(DynStore::new(store.clone())).lease(Duration::from_millis(60));
    let server = Server::start(router.layer(layer.clone())).await;
    let call = post("/").key("order-1001");
    let look = async |name: &str| {
        let key = IdempotencyKey::parse(name.as_bytes()).unwrap();
        layer.inspect(&Scope::anonymous(), &key).await.unwrap()
    };
    assert!(look("order-1001").await.is_none());

    call.send(&server).await;
    let record = look("order-1001").await.unwrap();
    assert_eq!((record.status().to_string(), record.attempt), ("failed".into(), 1));
    assert!(matches!(record.state, State::Failed(Some(outcome)) if outcome.status == 502));

    call.send(&server).await;
    let record = look("order-1001").await.unwrap();
    assert_eq!((record.status().to_string(), record.attempt), ("success".into(), 2));

    // Reserved, but no request runs it.
    store.fault(Operation::Reserve, Fault::Lost);
    post("/").key("order-1002").send(&server).await;
    let record = look("order-1002").await.unwrap();
    assert_eq!(record.status().to_string(), "pending");
    let mut record = record;
    while !matches!(record.state, State::Pending { abandoned: true }) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        record = look("order-1002").await.unwrap();
    }
    assert!(look("order-1003").await.is_none());
}
