//! What the tests share: a server, a client, a ledger of effects, and stores that fail on command.
// No binary uses all of it.
#![allow(dead_code, unused_imports, unused_macros)]

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use tokio::sync::{Semaphore, watch};
use tower_idempotency::store::{DynStore, Store};
use tower_idempotency::{Attempt, IdempotencyLayer, MemoryStore, PreviousAttempt, Scope};

mod bodies;
#[cfg(any(feature = "postgres-tls-rustls", feature = "redis-tls-rustls"))]
pub(crate) mod certificates;
mod client;
pub(crate) mod dashboard;
#[cfg(all(feature = "redis", feature = "postgres", feature = "sqlite", feature = "conformance"))]
pub(crate) mod databases;
#[cfg(all(feature = "redis", feature = "postgres", feature = "sqlite", feature = "conformance"))]
pub(crate) mod given;
mod log;
#[cfg(all(feature = "client", feature = "redis"))]
pub(crate) mod lossy;
#[cfg(all(feature = "redis", feature = "conformance"))]
pub(crate) mod narrow;
#[cfg(feature = "redis")]
pub(crate) mod pair;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) mod paying;
#[cfg(all(feature = "postgres", feature = "conformance"))]
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod random;
#[cfg(feature = "redis")]
pub(crate) mod redis;
mod rejections;
#[cfg(feature = "redis")]
pub(crate) mod sandbox;
mod server;
#[cfg(all(feature = "redis", feature = "postgres", feature = "sqlite", feature = "conformance"))]
pub(crate) mod site;
mod store;
#[cfg(any(feature = "redis", feature = "postgres"))]
pub(crate) mod wire;

pub(crate) use bodies::{Frames, gated_stream, gated_whole, http2_response, read_frame};
pub(crate) use client::{Call, WireResponse, call, patch, post, send_bytes};
pub(crate) use log::Log;
pub(crate) use rejections::{Row, no_row, rejections};
pub(crate) use server::Server;
pub(crate) use store::{Fault, Operation, Scripted};

/// The value with a change. Structs that may grow are not written out in tests.
pub(crate) fn with<T>(mut value: T, change: impl FnOnce(&mut T)) -> T {
    change(&mut value);
    value
}

/// The store under every test that does not bring its own. The one place to change in order to run
/// them on another.
pub(crate) fn store() -> DynStore {
    DynStore::new(MemoryStore::new())
}

/// The layer that the tests set up; its store may be any.
pub(crate) type TestLayer = IdempotencyLayer<DynStore>;

/// A layer with a store and a namespace of its own.
pub(crate) fn layer() -> TestLayer {
    layer_over(store())
}

/// Two layers over one store and in one namespace, as two processes have them.
pub(crate) fn layers_of_two_processes<S: Store + Clone>(store: &S) -> [TestLayer; 2] {
    let namespace = namespace();
    [(); 2].map(|()| IdempotencyLayer::new(DynStore::new(store.clone())).namespace(&namespace))
}

/// A layer over `store`, in a namespace of its own.
pub(crate) fn layer_over(store: DynStore) -> TestLayer {
    IdempotencyLayer::new(store).namespace(namespace())
}

fn namespace() -> String {
    static LAYERS: AtomicU32 = AtomicU32::new(0);
    let number = LAYERS.fetch_add(1, Ordering::Relaxed);
    format!("test {} {number}", std::process::id())
}

/// The ledger of effects: every handler enters the head of its request before anything else.
#[derive(Clone)]
pub(crate) struct Effects(Arc<watch::Sender<Vec<Parts>>>);

impl Effects {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Vec::new())))
    }

    pub(crate) fn add(&self, head: Parts) {
        self.0.send_modify(|runs| runs.push(head));
    }

    /// How often the handler ran.
    pub(crate) fn count(&self) -> usize {
        self.0.borrow().len()
    }

    /// The heads of the requests that reached the handler.
    pub(crate) fn heads(&self) -> Vec<Parts> {
        self.0.borrow().clone()
    }

    /// The number of each attempt, and what the one before it came to. Unguarded runs are left out.
    pub(crate) fn attempts(&self) -> Vec<(u32, Option<PreviousAttempt>)> {
        let heads = self.heads();
        let attempts = heads.iter().filter_map(|head| head.extensions.get::<Attempt>());
        attempts.map(|attempt| (attempt.number(), attempt.previous())).collect()
    }

    /// Waits until the handler has begun `count` times.
    pub(crate) async fn reached(&self, count: usize) {
        let mut runs = self.0.subscribe();
        patiently(runs.wait_for(|runs| runs.len() >= count)).await.expect("self holds the sender");
    }
}

/// Counts the requests that have come to the point where they ask for their key, their bodies read.
/// The code from there to the first wait is one step. So on a runtime of one thread, a counted
/// request has reserved, or waits in line.
#[derive(Clone)]
pub(crate) struct Arrived(Arc<watch::Sender<usize>>);

impl Arrived {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// The layer with its requests counted.
    pub(crate) fn counted(&self, layer: TestLayer) -> TestLayer {
        let arrived = self.clone();
        layer.scope(move |_| {
            arrived.0.send_modify(|count| *count += 1);
            Scope::anonymous()
        })
    }

    /// Waits until `count` requests have come.
    pub(crate) async fn reached(&self, count: usize) {
        let mut arrived = self.0.subscribe();
        patiently(arrived.wait_for(|arrived| *arrived >= count))
            .await
            .expect("self holds the sender");
    }
}

/// A router that sends every method and path to one handler, which enters its run in `effects`
/// first.
pub(crate) fn app<F, Fut, R>(effects: &Effects, response: F) -> Router
where
    F: Fn(Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = R> + Send + 'static,
    R: IntoResponse + 'static,
{
    Router::new().fallback_service(service(effects, response))
}

/// The handler of [`app`] as a service of its own.
pub(crate) fn service<F, Fut, R>(
    effects: &Effects,
    response: F,
) -> impl tower::Service<
    Request,
    Response = Response,
    Error = Infallible,
    Future = impl Future<Output = Result<Response, Infallible>> + Send + 'static,
> + Clone
+ Send
+ Sync
+ 'static
where
    F: Fn(Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = R> + Send + 'static,
    R: IntoResponse + 'static,
{
    let response: Handler = Arc::new(move |request| {
        let response = response(request);
        Box::pin(async move { response.await.into_response() })
    });
    // Not in a closure of this function, which would be another type for each handler. The layer,
    // the router and their tasks would be compiled for each of them.
    enter_and_respond(effects.clone(), response)
}

type Handler = Arc<dyn Fn(Request) -> Pin<Box<dyn Future<Output = Response> + Send>> + Send + Sync>;

fn enter_and_respond(
    effects: Effects,
    response: Handler,
) -> impl tower::Service<
    Request,
    Response = Response,
    Error = Infallible,
    Future = impl Future<Output = Result<Response, Infallible>> + Send + 'static,
> + Clone
+ Send
+ Sync
+ 'static {
    tower::service_fn(move |request: Request| {
        let (head, body) = request.into_parts();
        effects.add(head.clone());
        let response = response(Request::from_parts(head, body));
        async move { Ok(response.await) }
    })
}

/// A router whose handler waits at the gate and then responds.
pub(crate) fn gated(effects: &Effects, gate: &Gate) -> Router {
    let gate = gate.clone();
    app(effects, move |_| {
        let gate = gate.clone();
        async move {
            gate.passed().await;
            "done"
        }
    })
}

/// A router whose handler responds with the number of its run.
pub(crate) fn counting(effects: &Effects) -> Router {
    let ledger = effects.clone();
    app(effects, move |_| {
        let run = ledger.count();
        async move { format!("run {run}") }
    })
}

/// Waits for what must happen, but not for ever; far longer than any of it takes.
pub(crate) async fn patiently<T>(happening: impl Future<Output = T>) -> T {
    let patience = Duration::from_mins(1);
    tokio::time::timeout(patience, happening).await.expect("what was waited for did not happen")
}

/// A gate that handlers wait at until the test opens it.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets everybody pass from now on.
    pub(crate) fn open(&self) {
        self.0.close();
    }

    pub(crate) async fn passed(&self) {
        let _ = self.0.acquire().await;
    }
}
