//! Assertions for the tests of a service that uses the layer.
//!
//! [`replays`] sends a request and its retry, and asserts that the retry is a replay.
//! [`one_effect`] asserts also that the two had one effect. Both work with an axum `Router`, a
//! layered service, and every other [`Service`] of requests. A failure names the cause where it can
//! be seen, and what to check.
//!
//! ```
//! # #[cfg(feature = "axum")] {
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU32, Ordering};
//!
//! use axum::{Router, body::Body, routing::post};
//! use http::{Request, StatusCode};
//! use tower_idempotency::testing::one_effect;
//! use tower_idempotency::{IdempotencyLayer, MemoryStore, Scope};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let effects = Arc::new(AtomicU32::new(0));
//! let counted = Arc::clone(&effects);
//! let pay = move || async move { counted.fetch_add(1, Ordering::Relaxed).to_string() };
//! let layer = IdempotencyLayer::new(MemoryStore::new()).scope(|_| Scope::new("alice"));
//! let mut app: Router = Router::new().route("/payments", post(pay)).route_layer(layer);
//!
//! let request = Request::post("/payments").header("x-idempotency-key", "order-1001");
//! let request = request.body(Body::from("1200 EUR")).unwrap();
//! let first = one_effect(&mut app, request, async || effects.load(Ordering::Relaxed)).await;
//! assert_eq!(first.status(), StatusCode::OK);
//! # });
//! # }
//! ```

use std::fmt::Debug;
use std::future::Future;
use std::panic::Location;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

mod exchange;
mod faults;

use exchange::Exchange;

/// Sends the request twice, and returns its first response. The request needs a key.
///
/// # Panics
///
/// The message says what to check. It panics if:
///
/// - the first request is rejected by the layer, or its response is a replay already,
/// - the retry is not a replay, because it ran the handler again or was rejected,
/// - the two responses have different statuses or bodies,
/// - the service or a body fails.
#[track_caller]
pub fn replays<S, B, R>(app: &mut S, request: Request<B>) -> impl Future<Output = Response<Bytes>>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Debug,
    B: Body + From<Bytes>,
    B::Error: Debug,
    R: Body,
    R::Error: Debug,
{
    send_twice(Location::caller(), app, request, async || None)
}

/// Sends the request twice, as [`replays`], and asserts that `effects` is then greater by one.
///
/// `effects` counts the effects of the handler so far: rows of a table, or calls of a fake
/// provider.
///
/// # Panics
///
/// As [`replays`], and if the first request has no effect or several, or if the retry has one.
#[track_caller]
pub fn one_effect<S, B, R, N>(
    app: &mut S,
    request: Request<B>,
    mut effects: impl AsyncFnMut() -> N,
) -> impl Future<Output = Response<Bytes>>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Debug,
    B: Body + From<Bytes>,
    B::Error: Debug,
    R: Body,
    R::Error: Debug,
    N: TryInto<i64>,
    N::Error: Debug,
{
    let count = async move || {
        let count = effects().await.try_into();
        Some(count.unwrap_or_else(|error| panic!("the count of effects is not an i64: {error:?}")))
    };
    send_twice(Location::caller(), app, request, count)
}

/// Without a count, only the responses say whether the retry ran anything.
async fn send_twice<S, B, R>(
    caller: &'static Location<'static>,
    app: &mut S,
    request: Request<B>,
    mut effects: impl AsyncFnMut() -> Option<i64>,
) -> Response<Bytes>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Debug,
    B: Body + From<Bytes>,
    B::Error: Debug,
    R: Body,
    R::Error: Debug,
{
    let exchange = Exchange::of(request).await;
    let at_first = effects().await;
    let first = exchange.send(app).await;
    let after_first = effects().await;
    let retry = exchange.send(app).await;
    let after_retry = effects().await;

    let added = |to: Option<i64>, from: Option<i64>| to.zip(from).map(|(to, from)| to - from);
    let seen = faults::Seen {
        request: exchange.head(),
        first: &first,
        retry: &retry,
        effects_of_first: added(after_first, at_first),
        effects_of_retry: added(after_retry, after_first),
    };
    if let Some(fault) = seen.fault() {
        panic!("{fault}\n  in the assertion at {caller}");
    }
    first
}
