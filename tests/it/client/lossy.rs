use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::retry::budget::TpsBudget;
use tower_idempotency::client::ClientLayer;

use super::{ask, connections};
use crate::support::lossy::{Losses, Lossy};
use crate::support::random::{Draw, any_seed, setting};
use crate::support::sandbox::{Sandbox, order};

const OPERATIONS: usize = 1000;
const AT_ONCE: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_1000_operations_behind_a_proxy_that_loses_a_third_of_the_responses_each_is_done_once() {
    let seed = setting("LOSSY_SEED", any_seed());
    println!("LOSSY_SEED={seed}");
    let directory = tempfile::tempdir().unwrap();
    let ledger = directory.path().join("ledger");
    let sandbox = Sandbox::start_with(&ledger, &[]).await;
    let losses = Losses { lost: 30, delayed: 20, delay: Duration::from_millis(300) };
    let proxy = Lossy::start(sandbox.address(), losses, Draw::from_seed(seed)).await;

    let layer = ClientLayer::new().budget(TpsBudget::new(Duration::from_secs(10), 100, 1.0));
    let (connections, places) = (connections(), Arc::new(Semaphore::new(AT_ONCE)));
    let uri = format!("http://{}/payments", proxy.address());
    let mut operations = JoinSet::new();
    for _ in 0..OPERATIONS {
        let request = Request::post(&uri).header("content-type", "application/json");
        let request = request.body(Full::new(Bytes::from(order().to_string()))).unwrap();
        let (layer, connections, places) =
            (layer.clone(), connections.clone(), Arc::clone(&places));
        operations.spawn(async move {
            let _place = places.acquire_owned().await;
            ask(layer, connections, request).await
        });
    }
    let mut attempts = 0;
    let mut payments = HashSet::new();
    while let Some(response) = operations.join_next().await {
        let response = response.unwrap().unwrap();
        assert_eq!(response.status, 201, "{response:?}");
        attempts += response.attempts.unwrap() as usize;
        let receipt: Value = serde_json::from_slice(&response.body).unwrap();
        payments.insert(receipt["id"].as_str().unwrap().to_owned());
    }

    let passed = proxy.passed();
    println!("{attempts} attempts for {OPERATIONS} operations: {passed:?}");
    // The number of lost responses is as expected, up to a deviation seen once in a million runs.
    assert!((300..560).contains(&passed.lost), "{passed:?}");
    assert_eq!(passed.requests, OPERATIONS + passed.lost);
    assert_eq!(attempts, passed.requests);

    let lines = std::fs::read_to_string(&ledger).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let distinct = |member: &str| -> HashSet<String> {
        lines.iter().map(|line| line[member].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(lines.len(), OPERATIONS);
    assert_eq!(distinct("key").len(), OPERATIONS);
    // Each caller has the receipt of the payment that was made for it.
    assert_eq!(distinct("id"), payments);
}
