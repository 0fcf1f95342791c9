//! What an operator sees: counters without keys, and the words for the state of an attempt.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::post as to_post;
use http::{Request, StatusCode};
use metrics::Key;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tower::ServiceExt;
use tower_idempotency::store::{DynStore, State, StoreErrorKind};
use tower_idempotency::{IdempotencyKey, InFlight, OnOutage, ResponseDirective, Scope};

use crate::support::{
    Effects, Fault, Gate, Operation, Scripted, Server, TestLayer, app, counting, layer, layer_over,
    layers_of_two_processes, patiently, post, store,
};

/// Runs `scene` on a runtime of its own and tells what was recorded meanwhile, by name and labels.
fn recorded(scene: impl AsyncFnOnce()) -> BTreeMap<String, DebugValue> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(scene()));
    let snapshot = snapshotter.snapshot().into_vec();
    snapshot.into_iter().map(|(key, _, _, value)| (series(key.key()), value)).collect()
}

/// The counters of it.
fn counted(scene: impl AsyncFnOnce()) -> BTreeMap<String, u64> {
    let counters = recorded(scene).into_iter().filter_map(|(name, value)| match value {
        DebugValue::Counter(count) => Some((name, count)),
        DebugValue::Gauge(_) | DebugValue::Histogram(_) => None,
    });
    counters.collect()
}

/// The name and the labels.
fn series(key: &Key) -> String {
    let labels = key.labels().map(|label| format!("{}={}", label.key(), label.value()));
    format!("{} {}", key.name(), labels.collect::<Vec<_>>().join(" ")).trim_end().to_owned()
}

/// The names in the guide `operations`.
fn documented() -> BTreeSet<&'static str> {
    const GUIDE: &str = include_str!("../../../src/guide/operations.md");
    let tables = GUIDE.split("## Metrics").nth(1).unwrap().split("Set an alarm").next().unwrap();
    tables.split('`').filter(|word| word.starts_with("idempotency_")).collect()
}

/// A metric without a description is shown without its meaning.
#[test]
fn every_documented_metric_is_described_with_its_unit() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let names = documented();
    assert_eq!(names.len(), 18, "{names:?}");
    metrics::with_local_recorder(&recorder, || {
        let layer = layer();
        // A description without a value is not in the snapshot, and it belongs to one kind.
        for name in names.iter().copied() {
            metrics::counter!(name).increment(1);
            metrics::gauge!(name).set(1.0);
            metrics::histogram!(name).record(1.0);
        }
        drop(layer);
    });
    let described = snapshotter.snapshot().into_vec().into_iter();
    let described = described.filter(|(_, _, description, _)| description.is_some());
    let units: BTreeMap<_, _> =
        described.map(|(key, unit, _, _)| (key.key().name().to_owned(), unit.unwrap())).collect();
    assert_eq!(units.keys().map(String::as_str).collect::<BTreeSet<_>>(), names);
    for (name, unit) in units {
        let is_in = |suffix: &str| name.ends_with(suffix);
        let expected = match name.as_str() {
            _ if is_in("_seconds") => metrics::Unit::Seconds,
            _ if is_in("_bytes") => metrics::Unit::Bytes,
            _ => metrics::Unit::Count,
        };
        assert_eq!(unit, expected, "{name}");
    }
}

/// How many values each histogram has.
fn measured(recorded: &BTreeMap<String, DebugValue>) -> BTreeMap<&str, usize> {
    let histograms = recorded.iter().filter_map(|(name, value)| match value {
        DebugValue::Histogram(values) => Some((name.as_str(), values.len())),
        DebugValue::Counter(_) | DebugValue::Gauge(_) => None,
    });
    histograms.collect()
}

/// Sends a request to a route of which the label has the template.
fn pay(router: &Router) -> impl Future<Output = StatusCode> + use<> {
    let request = Request::post("/payments/7").header("idempotency-key", "order-1001");
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap());
    async move { response.await.unwrap().status() }
}

/// A request runs, another one waits for it, and a third is another request under the key.
async fn scene(layer: TestLayer) {
    let gate = Gate::new();
    let held = gate.clone();
    let handler = move || {
        let gate = held.clone();
        async move { gate.passed().await }
    };
    let layer = layer.in_flight(InFlight::Wait(Duration::from_mins(1)));
    let router = Router::new().route("/payments/{id}", to_post(handler)).route_layer(layer.clone());
    let mut first = tokio_test::task::spawn(pay(&router));
    let mut second = tokio_test::task::spawn(pay(&router));
    assert!(first.poll().is_pending() && second.poll().is_pending());
    let operator = layer.operator("test").unwrap();
    let mut report = tokio_test::task::spawn(operator.report_every(Duration::from_mins(1)));
    // It counts the shards of the store in several turns.
    for _ in 0..1000 {
        assert!(report.poll().is_pending());
    }
    gate.open();
    assert_eq!(patiently(first).await, StatusCode::OK);
    assert_eq!(patiently(second).await, StatusCode::OK);
    patiently(layer.shutdown()).await;
    patiently(report).await;
}

fn names<'a>(recorded: &'a BTreeMap<String, DebugValue>, name: &str) -> Vec<&'a str> {
    recorded.keys().map(String::as_str).filter(|series| series.starts_with(name)).collect()
}

#[test]
fn handlers_waits_and_operations_of_the_store_are_measured() {
    let recorded = recorded(async || scene(layer()).await);
    let expected = [
        ("idempotency_handler_seconds", 1),
        ("idempotency_store_seconds operation=complete", 1),
        ("idempotency_store_seconds operation=reserve", 1),
        ("idempotency_wait_seconds", 1),
    ];
    assert_eq!(measured(&recorded), BTreeMap::from(expected));
}

#[test]
fn the_gauges_say_what_runs_what_waits_and_what_is_in_the_store() {
    let recorded = recorded(async || scene(layer()).await);
    let gauge = |name: &str| match recorded.get(name) {
        Some(DebugValue::Gauge(value)) => Some(value.into_inner()),
        _ => None,
    };
    assert_eq!(gauge("idempotency_in_flight"), Some(1.0));
    assert_eq!(gauge("idempotency_waiting"), Some(1.0));
    assert_eq!(gauge("idempotency_records state=in-flight"), Some(1.0));
    assert_eq!(gauge("idempotency_in_doubt"), Some(0.0));
    assert_eq!(gauge("idempotency_oldest_abandoned_seconds"), Some(0.0));
    assert_eq!(names(&recorded, "idempotency_record_bytes").len(), 5);
}

#[test]
fn a_store_that_cannot_count_is_asked_once_and_the_process_has_its_gauges() {
    let recorded = recorded(async || {
        // It does not pass these requests on.
        let layer = layer_over(DynStore::new(Scripted::over(store())));
        let report = layer.operator("test").unwrap().report_every(Duration::from_millis(10));
        let rounds = tokio::time::timeout(Duration::from_millis(100), report);
        assert!(rounds.await.is_err(), "it goes on");
    });
    let errors = "idempotency_store_errors_total operation=stats kind=unsupported";
    assert!(matches!(recorded.get(errors), Some(DebugValue::Counter(1))), "{recorded:?}");
    assert!(recorded.contains_key("idempotency_in_flight"));
    assert!(names(&recorded, "idempotency_records").is_empty());
}

#[cfg(feature = "axum")]
#[test]
fn the_metrics_of_labelled_records_have_the_namespace_and_the_route() {
    let labelled = layer().namespace("payments").label_records();
    let recorded = recorded(async || scene(labelled).await);
    let labels = " namespace=payments route=POST /payments/{id}";
    let of_route = recorded.keys().filter(|series| series.ends_with(labels)).count();
    // Two results of requests, an attempt, the end of one, and four histograms.
    assert_eq!(of_route, 8, "{recorded:#?}");
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
fn an_abandoned_attempt_is_counted_as_one() {
    let counters = counted(async || {
        let effects = Effects::new();
        let ledger = effects.clone();
        let router = app(&effects, move |_| {
            let first = ledger.count() == 1;
            let directive =
                if first { ResponseDirective::abandoned() } else { ResponseDirective::new() };
            async move {
                let mut response = http::Response::new(Body::empty());
                response.extensions_mut().insert(directive);
                response
            }
        });
        let server = Server::start(router.layer(layer().lease(Duration::from_hours(1)))).await;
        for _ in 0..2 {
            post("/").key("order-1001").send(&server).await;
        }
    });
    expect(
        &counters,
        &[
            ("idempotency_attempts_total previous=abandoned", 1),
            ("idempotency_attempts_total previous=none", 1),
            ("idempotency_requests_total result=abandoned", 1),
            ("idempotency_requests_total result=executed", 1),
            ("idempotency_settled_total operation=abandon result=stored", 1),
            ("idempotency_settled_total operation=complete result=stored", 1),
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
        let call = post("/").key("order-1001");
        tokio::join!(call.send(&one), async {
            store.called(Operation::Complete, 1).await;
            store.heal();
        });
        assert!(call.send(&other).await.is_replay());

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
