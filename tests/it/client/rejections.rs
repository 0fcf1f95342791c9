//! What the real layer says to a client that is its other half.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use tower_idempotency::client::Disposition::{self, Final, Unknown};
use tower_idempotency::client::{MemoryKeyStore, Operations};
use tower_idempotency::store::StoreErrorKind;
use tower_idempotency::{OnAbandoned, OnFailed};

use super::{Received, ask, connections, patient, quick};
use crate::support::{
    Effects, Fault, Gate, Operation, Scripted, Server, app, counting, gated, layer, layer_over,
    store,
};

fn order(key: &str, body: &'static str) -> Request<Body> {
    Request::post("/orders").header("x-idempotency-key", key).body(Body::from(body)).unwrap()
}

async fn asked(server: &Router, key: &str, body: &'static str) -> Received {
    ask(quick(), server.clone(), order(key, body)).await.unwrap()
}

#[track_caller]
fn assert_rejected(response: &Received, status: u16, code: &str, disposition: Disposition) {
    let problem: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!((response.status.as_u16(), problem["code"].as_str()), (status, Some(code)));
    assert_eq!(
        (response.disposition, response.attempts),
        (Some(disposition), Some(1)),
        "{response:?}"
    );
}

#[tokio::test]
async fn another_request_under_the_key_is_rejected_once_and_leaves_it_open() {
    let effects = Effects::new();
    let server: Router = counting(&effects).layer(layer());
    assert_eq!(asked(&server, "k", "one").await.disposition, Some(Final));
    assert_rejected(&asked(&server, "k", "two").await, 409, "idempotency_key_reused", Unknown);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn in_flight_is_asked_again_until_it_is_finished_and_then_replayed() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let server = Server::start(gated(&effects, &gate).layer(layer())).await;
    let uri = format!("http://{}/", server.address());
    let operation = Operations::new(MemoryKeyStore::new()).begin("a").await.unwrap();
    let layer = quick().max_retry_after(Duration::ZERO).attempt_timeout(Duration::from_millis(200));
    let mut request = super::post(uri);
    operation.mark(&mut request);
    // The first attempt is given up while the handler runs; those after it find it in flight.
    let asking = ask(layer, connections(), request);
    let opening = async {
        effects.reached(1).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        gate.open();
    };
    let (response, ()) = tokio::join!(asking, opening);
    let response = response.unwrap();
    assert_eq!((response.status.as_u16(), &*response.body), (200, &b"done"[..]));
    assert_eq!(response.headers["x-idempotent-result"], "true");
    assert_eq!(response.disposition, Some(Final));
    assert!(response.attempts.unwrap() > 2, "{response:?}");
    assert_eq!(effects.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_wait_that_a_layer_asks_for_is_waited_for() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let server: Router = gated(&effects, &gate).layer(layer().retry_after(Duration::from_secs(7)));
    let first = tokio::spawn(ask(patient(), server.clone(), order("k", "one")));
    effects.reached(1).await;
    let began = tokio::time::Instant::now();
    let second = tokio::spawn(ask(patient(), server, order("k", "one")));
    tokio::time::sleep(Duration::from_secs(1)).await;
    gate.open();
    assert_eq!(first.await.unwrap().unwrap().attempts, Some(1));
    assert_eq!(second.await.unwrap().unwrap().attempts, Some(2));
    let waited = began.elapsed();
    assert!((7_000..=7_110).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_was_cut_off_leaves_the_key_open_where_it_is_not_run_again() {
    let scripted = Scripted::over(store());
    scripted.fault(Operation::Renew, Fault::Error(StoreErrorKind::Timeout));
    let guard = layer_over(tower_idempotency::store::DynStore::new(scripted.clone()));
    let (effects, gate) = (Effects::new(), Gate::new());
    let lease = Duration::from_secs(5);
    let server: Router =
        gated(&effects, &gate).layer(guard.lease(lease).on_abandoned(OnAbandoned::Reject));
    let cut_off = tokio::spawn(ask(quick(), server.clone(), order("k", "one")));
    effects.reached(1).await;
    cut_off.abort();
    tokio::time::sleep(lease * 2).await;
    assert_rejected(&asked(&server, "k", "one").await, 409, "idempotency_outcome_unknown", Unknown);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_failed_attempt_runs_again_or_leaves_the_key_open_as_the_layer_says() {
    let failing = |effects: &Effects| {
        let ledger = effects.clone();
        app(effects, move |_| {
            let status =
                if ledger.count() < 3 { StatusCode::BAD_GATEWAY } else { StatusCode::CREATED };
            async move { (status, "done") }
        })
    };
    let effects = Effects::new();
    let server = failing(&effects).layer(layer());
    asked(&server, "k", "one").await.assert_done("done", 3);

    let effects = Effects::new();
    let server = failing(&effects).layer(layer().on_failed(OnFailed::Reject));
    let response = asked(&server, "k", "one").await;
    // The client retries after the 502; the retry is rejected.
    assert_eq!(
        (response.status.as_u16(), response.disposition, response.attempts),
        (409, Some(Unknown), Some(2))
    );
    assert_eq!(effects.count(), 1);

    let effects = Effects::new();
    let server = failing(&effects).layer(layer().on_failed(OnFailed::Replay));
    let response = asked(&server, "k", "one").await;
    assert_eq!(
        (response.status.as_u16(), response.disposition, response.attempts),
        (502, Some(Unknown), Some(2))
    );
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_response_that_was_not_stored_ends_the_operation_too() {
    let effects = Effects::new();
    let server: Router = app(&effects, |_| async { (StatusCode::CREATED, "a long response") })
        .layer(layer().max_response(4));
    assert_eq!(asked(&server, "k", "one").await.body, "a long response");
    assert_rejected(
        &asked(&server, "k", "one").await,
        409,
        "idempotency_result_not_retained",
        Final,
    );
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_corrected_request_continues_under_its_key() {
    let effects = Effects::new();
    let ledger = effects.clone();
    let server: Router = app(&effects, move |_| {
        let status = if ledger.count() == 1 {
            StatusCode::UNPROCESSABLE_ENTITY
        } else {
            StatusCode::CREATED
        };
        async move { (status, "done") }
    })
    .layer(layer());
    let response = asked(&server, "k", "wrong").await;
    assert_eq!(
        (response.status.as_u16(), response.disposition, response.attempts),
        (422, Some(Unknown), Some(1))
    );
    asked(&server, "k", "right").await.assert_done("done", 1);
}

#[tokio::test]
async fn a_store_that_is_down_for_a_while_is_waited_for() {
    let scripted = Scripted::over(store());
    scripted.fault(Operation::Reserve, Fault::Error(StoreErrorKind::Unavailable));
    let effects = Effects::new();
    let server: Router = counting(&effects)
        .layer(layer_over(tower_idempotency::store::DynStore::new(scripted.clone())));
    let client = quick().max_retry_after(Duration::ZERO);
    let healing = async {
        scripted.called(Operation::Reserve, 3).await;
        scripted.heal();
    };
    let (response, ()) = tokio::join!(ask(client, server, order("k", "one")), healing);
    let response = response.unwrap();
    assert_eq!((response.status.as_u16(), response.disposition), (200, Some(Final)));
    assert!(response.attempts.unwrap() > 3);
    assert_eq!(effects.count(), 1);
}

#[cfg(feature = "strict-keys")]
#[tokio::test]
async fn the_ietf_profile_takes_quoted_keys_and_its_422_leaves_the_key_open() {
    let effects = Effects::new();
    let server: Router = counting(&effects).layer(layer().ietf());
    let client =
        || quick().header(http::HeaderName::from_static("idempotency-key")).structured_field();
    let operation = Operations::new(MemoryKeyStore::new()).begin("a").await.unwrap();
    let request = |body: &'static str| {
        let mut request = Request::post("/orders").body(Body::from(body)).unwrap();
        operation.mark(&mut request);
        request
    };
    let first = ask(client(), server.clone(), request("one")).await.unwrap();
    assert_eq!((first.status.as_u16(), first.disposition), (200, Some(Final)));
    let replay = ask(client(), server.clone(), request("one")).await.unwrap();
    assert_eq!(
        (&replay.headers["x-idempotent-result"], &replay.body),
        (&"true".parse().unwrap(), &first.body)
    );
    let other = ask(client(), server, request("two")).await.unwrap();
    assert_rejected(&other, 422, "idempotency_key_reused", Unknown);
    assert_eq!(effects.count(), 1);
}
