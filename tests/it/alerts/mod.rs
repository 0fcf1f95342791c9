//! The rules and the dashboard in `ops`, with a real Prometheus that watches real processes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::support::dashboard;
use crate::support::patiently;
use crate::support::redis::RedisServer;
use crate::support::sandbox::{Sandbox, example};

mod prometheus;

use prometheus::{Prometheus, promtool};

const LEASE: Duration = Duration::from_secs(2);

/// An alert fires so soon after its cause.
const SOON: Duration = LEASE.saturating_add(Duration::from_secs(15));

/// Starts the example `observed`.
async fn observed(variables: &[(&str, &str)]) -> Arc<Sandbox> {
    let mut command = Command::new(example("observed"));
    command.env("LISTEN", "127.0.0.1:0").env("LEASE", LEASE.as_secs().to_string());
    command.env_remove("REDIS_URL").env_remove("FAIL_OPEN").envs(variables.iter().copied());
    command.stderr(std::process::Stdio::null());
    Arc::new(Sandbox::run(&mut command).await.expect("the example ended without output"))
}

/// Clients that pay ten times a second each, until they are dropped.
fn clients(service: &Arc<Sandbox>) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for client in 0..4 {
        let service = Arc::clone(service);
        clients.spawn(async move {
            for number in 0.. {
                service.pay(&format!("{client}-{number}"), &json!({ "amount": 1 })).await;
                sleep(Duration::from_millis(100)).await;
            }
        });
    }
    clients
}

/// A payment that does not end before the test. The process with its attempt may be killed.
async fn endless(service: &Sandbox) -> TcpStream {
    let body = json!({ "delay_ms": 600_000 }).to_string();
    let request = format!(
        "POST /payments HTTP/1.1\r\nhost: localhost\r\nx-idempotency-key: endless\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = TcpStream::connect(service.address()).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    connection
}

#[test]
fn the_rules_are_valid_and_pass_their_tests() {
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        let (is_success, text) = promtool(&arguments);
        assert!(is_success, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_is_told_with_the_operation_that_it_abandons() {
    let redis = RedisServer::start();
    let url = redis.url();
    let variables = [("REDIS_URL", url.as_str())];
    let (killed, other) = (observed(&variables).await, observed(&variables).await);
    let prometheus = Prometheus::watching(&[&killed, &other]).await;
    let _clients = clients(&other);
    let _endless = endless(&killed).await;
    let runs = async { while prometheus.values("idempotency_in_flight > 0").await.is_empty() {} };
    patiently(runs).await;
    prometheus.stays_silent().await;

    killed.signal("KILL");
    let gone = format!("IdempotencyServiceGone {}", killed.address());
    prometheus.fires(&[&gone, "IdempotencyAbandoned"], SOON).await;
    assert_eq!(prometheus.firing().await.len(), 2, "nothing else has happened");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_cut_off_from_its_store_is_told_with_the_lease_that_it_loses() {
    let redis = RedisServer::start();
    let url = redis.url();
    let service = observed(&[("REDIS_URL", &url)]).await;
    let prometheus = Prometheus::watching(&[&service]).await;
    let (_clients, _endless) = (clients(&service), endless(&service).await);
    prometheus.stays_silent().await;

    redis.stop();
    prometheus.fires(&["IdempotencyStoreUnavailable", "IdempotencyLeasesLost"], SOON).await;
    redis.resume();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_runs_unguarded_is_told() {
    let mut redis = RedisServer::start();
    let url = redis.url();
    let service = observed(&[("REDIS_URL", &url), ("FAIL_OPEN", "1")]).await;
    let prometheus = Prometheus::watching(&[&service]).await;
    let _clients = clients(&service);
    prometheus.stays_silent().await;

    redis.kill();
    let began = Instant::now();
    prometheus.fires(&["IdempotencyUnguarded"], SOON).await;
    let left = SOON.saturating_sub(began.elapsed());
    prometheus.fires(&["IdempotencyStoreUnavailable"], left).await;
    let response = service.pay("unguarded", &json!({ "amount": 1 })).await;
    assert_eq!(response.header("x-idempotent-result"), Some("unguarded"));
}

/// The panels that have nothing to show while the store works.
const EMPTY: [&str; 7] = [
    "Unguarded",
    "Response not retained",
    "Errors by kind",
    "Errors by operation",
    "Leases lost",
    "Writes that were retried",
    "Events lost",
];

#[tokio::test(flavor = "multi_thread")]
async fn each_query_of_the_dashboard_is_valid_and_finds_what_has_happened() {
    let service = observed(&[]).await;
    let prometheus = Prometheus::watching(&[&service]).await;
    let _clients = clients(&service);
    let queries = dashboard::queries();
    let panels: BTreeSet<_> = queries.iter().map(|query| query.panel.as_str()).collect();
    assert!(EMPTY.iter().all(|panel| panels.contains(panel)), "a panel has another title");
    let mut left: Vec<_> = queries
        .iter()
        .filter(|query| !query.panel.is_empty() && !EMPTY.contains(&query.panel.as_str()))
        .collect();
    // A rate needs two scrapes.
    let all_find_something = async {
        for number in 0.. {
            variety(&service, number).await;
            let mut empty = Vec::new();
            for query in left.drain(..) {
                if prometheus.values(&filled_in(&query.query)).await.is_empty() {
                    empty.push(query);
                }
            }
            left = empty;
            if left.is_empty() {
                return;
            }
            sleep(Duration::from_millis(500)).await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(30), all_find_something).await;
    let left: Vec<_> = left.iter().map(|query| (&query.panel, &query.query)).collect();
    assert!(ended.is_ok(), "these find nothing: {left:#?}");
    for query in queries.iter().filter(|query| EMPTY.contains(&query.panel.as_str())) {
        // It is an error if it is not valid.
        prometheus.values(&filled_in(&query.query)).await;
    }
}

/// Requests that are executed, replayed, rejected, in doubt and kept waiting.
async fn variety(service: &Sandbox, number: usize) {
    let (key, failing) = (format!("v{number}"), format!("f{number}"));
    let (payment, failure) = (json!({ "delay_ms": 20 }), json!({ "status": 502 }));
    tokio::join!(service.pay(&key, &payment), service.pay(&key, &payment));
    service.pay(&key, &payment).await;
    service.pay(&key, &json!({ "amount": 2 })).await;
    service.pay(&failing, &failure).await;
    service.pay(&failing, &failure).await;
}

/// The query as Grafana sends it, with all services, namespaces and routes chosen.
fn filled_in(query: &str) -> String {
    let variables = [
        ("$__rate_interval", "15s"),
        ("$__range", "1h"),
        ("$job", ".*"),
        ("$namespace", ".*"),
        ("$route", ".*"),
    ];
    variables.into_iter().fold(query.to_owned(), |query, (name, value)| query.replace(name, value))
}
