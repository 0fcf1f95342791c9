//! The clock of Redis steps forward by one lease while attempts run. Then each request is sent
//! again.
//!
//! For Redis, such a step means that each record has less time left. So the case shortens each
//! record by one lease.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::{IdempotencyLayer, RedisStore};

use crate::redis::RedisServer;

const ATTEMPTS: usize = 100;
const LEASE: Duration = Duration::from_secs(2);

fn request(key: usize) -> Request<Body> {
    Request::post("/")
        .header("X-Idempotency-Key", format!("order-{key}"))
        .body(Body::empty())
        .unwrap()
}

/// Prints how many operations ran a second time during their first attempt.
pub(crate) async fn run() {
    let server = RedisServer::start();
    let layer = IdempotencyLayer::new(RedisStore::open(&server.url()).unwrap()).lease(LEASE);
    let runs = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&runs);
    let handler = service_fn(move |_: Request<Body>| {
        counted.fetch_add(1, Ordering::SeqCst);
        async {
            tokio::time::sleep(3 * LEASE).await;
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }
    });
    let app = layer.layer(handler);
    let mut clients = JoinSet::new();
    for key in 0..ATTEMPTS {
        clients.spawn(app.clone().oneshot(request(key)));
    }
    while runs.load(Ordering::SeqCst) < ATTEMPTS {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    step(&server);
    for key in 0..ATTEMPTS {
        clients.spawn(app.clone().oneshot(request(key)));
    }
    clients.join_all().await;
    println!("| operations | ran twice |\n|---|---|");
    println!("| {ATTEMPTS} | {} |", runs.load(Ordering::SeqCst) - ATTEMPTS);
}

fn step(server: &RedisServer) {
    let mut connection =
        redis::Client::open(server.url()).and_then(|client| client.get_connection()).unwrap();
    let names: Vec<Vec<u8>> =
        redis::cmd("KEYS").arg("idempotency:*").query(&mut connection).unwrap();
    for name in names {
        let left: i64 = redis::cmd("PTTL").arg(&name).query(&mut connection).unwrap();
        let less = left - i64::try_from(LEASE.as_millis()).unwrap();
        redis::cmd("PEXPIRE").arg(&name).arg(less).exec(&mut connection).unwrap();
    }
}
