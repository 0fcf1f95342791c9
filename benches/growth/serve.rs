//! The servers under load. Most are those of the benchmark `http`.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::map_request;
use axum::routing::{get, post};
use tokio::sync::Semaphore;
use tower_idempotency::store::{DynStore, Store};
use tower_idempotency::{InFlight, MemoryStore, RedisStore};

use super::http_server;

/// Serves until the process is killed. The first line of its output is the address.
pub(crate) fn serve(stack: &str) {
    match stack.strip_prefix("hot ") {
        Some("memory") => hot(|| DynStore::new(MemoryStore::new())),
        Some(url) => hot(|| DynStore::new(RedisStore::open(url).unwrap())),
        None => http_server::serve(stack),
    }
}

/// A handler that ends when it is told to, behind a layer whose retries wait.
fn hot<S: Store>(store: impl FnOnce() -> S) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.unwrap().block_on(async {
        let (runs, arrivals) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let gate = Arc::new(Semaphore::new(0));
        // One scope may have a tenth of what may wait.
        let layer = http_server::layer(store())
            .in_flight(InFlight::Wait(Duration::from_mins(5)))
            .max_waiting(1 << 20)
            .max_held_bytes(1 << 30);
        let (counted, held, arrived) = (runs.clone(), gate.clone(), arrivals.clone());
        let guarded = post(async move || {
            counted.fetch_add(1, Ordering::Relaxed);
            held.acquire().await.unwrap().forget();
            (StatusCode::CREATED, "n".repeat(300))
        });
        let app = Router::new()
            .route("/payments", guarded)
            .layer(layer)
            .layer(map_request(move |request: Request| {
                arrived.fetch_add(1, Ordering::Relaxed);
                std::future::ready(request)
            }))
            .route("/arrivals", get(async move || arrivals.load(Ordering::Relaxed).to_string()))
            .route("/runs", get(async move || runs.load(Ordering::Relaxed).to_string()))
            .route("/end", get(async move || gate.add_permits(1 << 20)));
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(16_384).unwrap();
        println!("{}", listener.local_addr().unwrap());
        std::io::stdout().flush().unwrap();
        axum::serve(listener, app).await.unwrap();
    });
}
