//! One caller floods the memory store at its defaults, and the others do not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use http::StatusCode;
use tokio::task::JoinSet;
use tower_idempotency::store::DynStore;
use tower_idempotency::{MemoryStore, Scope};

use crate::support::{Call, Effects, Server, WireResponse, app, layer_over, post};

const LARGE: usize = 1 << 20;

/// Pays on `/payments`. On `/export` the response is as large as the layer stores.
fn payments(effects: &Effects) -> Router {
    app(effects, |request| async move {
        let body =
            if request.uri().path() == "/export" { vec![b'x'; LARGE] } else { b"paid".to_vec() };
        (StatusCode::CREATED, body)
    })
}

async fn start(store: &MemoryStore, effects: &Effects) -> Server {
    let guard = layer_over(DynStore::new(store.clone()))
        .scope(|parts| parts.headers.get("x-tenant").map_or_else(Scope::anonymous, Scope::new));
    Server::start(payments(effects).layer(guard)).await
}

fn by(tenant: Option<&str>, path: &str, key: &str) -> Call {
    let call = post(path).key(key);
    match tenant {
        Some(tenant) => call.header("X-Tenant", tenant),
        None => call,
    }
}

/// Sends requests with a new key each, eight at a time.
async fn flood(
    server: &Arc<Server>,
    tenant: Option<&'static str>,
    count: usize,
) -> Vec<WireResponse> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let (server, next) = (Arc::clone(server), Arc::clone(&next));
        clients.spawn(async move {
            let mut responses = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return responses;
                }
                responses
                    .push(by(tenant, "/export", &format!("flood-{number}")).send(&server).await);
            }
        });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

/// A tenant pays, again and again, and retries each payment.
async fn pays(server: &Server, count: usize) {
    for number in 0..count {
        let payment = by(Some("honest"), "/payments", &format!("order-{number}"));
        let first = payment.send(server).await;
        first.assert_first(201, "paid");
        payment.send(server).await.assert_replays(&first);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_anonymous_responses_does_not_lock_a_tenant_out() {
    let (store, effects) = (MemoryStore::new(), Effects::new());
    let server = Arc::new(start(&store, &effects).await);
    let (flooded, ()) = tokio::join!(flood(&server, None, 512), pays(&server, 50));
    pays_on(&server).await;

    let (accepted, rejected): (Vec<_>, Vec<_>) =
        flooded.iter().partition(|response| response.status == 201);
    assert!(accepted.iter().all(|response| response.body.len() == LARGE));
    assert!(
        accepted.len() > 100 && rejected.len() > 100,
        "{} and {}",
        accepted.len(),
        rejected.len()
    );
    for response in rejected {
        response.assert_rejected(429, "idempotency_quota_exceeded");
        let seconds: u64 = response.header("retry-after").unwrap().parse().unwrap();
        assert!((400..=601).contains(&seconds), "an anonymous record stays 10 minutes: {seconds}");
    }
    let anonymous = MemoryStore::MAX_BYTES / 100;
    assert!(store.bytes() < anonymous + (1 << 20), "{}", store.bytes());
}

async fn pays_on(server: &Server) {
    for number in 50..100 {
        let payment = by(Some("honest"), "/payments", &format!("order-{number}"));
        payment.send(server).await.assert_first(201, "paid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_one_tenant_does_not_lock_another_one_out() {
    let (store, effects) = (MemoryStore::new().max_bytes(50 << 20), Effects::new());
    let server = Arc::new(start(&store, &effects).await);
    let (flooded, ()) = tokio::join!(flood(&server, Some("loud"), 2000), pays(&server, 50));
    pays_on(&server).await;
    let rejected: Vec<_> = flooded.iter().filter(|response| response.status != 201).collect();
    assert!(rejected.len() > 100, "{}", rejected.len());
    for response in rejected {
        response.assert_rejected(429, "idempotency_quota_exceeded");
        let seconds: u64 = response.header("retry-after").unwrap().parse().unwrap();
        assert!((86_000..=86_401).contains(&seconds), "a record stays a day: {seconds}");
    }
    assert!(store.bytes() < 6 << 20, "{}", store.bytes());
}

/// The operation has run, so its retry must not run it again, whatever fits.
#[tokio::test]
async fn a_response_above_the_share_is_not_retained_and_its_operation_does_not_run_again() {
    let (store, effects) = (MemoryStore::new(), Effects::new());
    let server = start(&store, &effects).await;
    for number in 0..8 {
        by(None, "/export", &format!("export-{number}")).send(&server).await;
    }
    assert_eq!(effects.count(), 8);
    by(None, "/export", "export-0").send(&server).await.is_replay().then_some(()).unwrap();
    let last = by(None, "/export", "export-7").send(&server).await;
    let problem = last.assert_rejected(409, "idempotency_result_not_retained");
    assert_eq!(problem["original_status"], 201);
    assert_eq!(effects.count(), 8);
}
