//! The clock of a store steps forward by a lease while an attempt runs. To the store that is a
//! record whose times are a lease older than they are, so a test makes it so.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use tokio::sync::Notify;
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::store::{DynStore, State};
use tower_idempotency::{IdempotencyKey, IdempotencyLayer, OnAbandoned, RedisStore, Scope};

use crate::support::databases::{Base, Lite, Pg};
use crate::support::patiently;
use crate::support::redis::RedisServer;

/// A beat is a third of it.
const LEASE: Duration = Duration::from_secs(3);

fn request() -> Request<Body> {
    Request::post("/").header("X-Idempotency-Key", "order-1001").body(Body::from("1200")).unwrap()
}

/// Sends a request, steps the clock while its handler runs, and sends the request again.
async fn a_live_attempt_is_told_from_an_abandoned_one(
    store: DynStore,
    step: impl AsyncFn(),
    policy: OnAbandoned,
) {
    let layer = IdempotencyLayer::new(store).lease(LEASE).on_abandoned(policy);
    let (runs, entered, gate) =
        (Arc::<AtomicUsize>::default(), Arc::<Notify>::default(), Arc::<Notify>::default());
    let handler = {
        let (runs, entered, gate) = (Arc::clone(&runs), Arc::clone(&entered), Arc::clone(&gate));
        service_fn(move |_: Request<Body>| {
            runs.fetch_add(1, Ordering::SeqCst);
            let (entered, gate) = (Arc::clone(&entered), Arc::clone(&gate));
            async move {
                entered.notify_one();
                gate.notified().await;
                Ok::<_, Infallible>(Response::builder().status(201).body(Body::empty()).unwrap())
            }
        })
    };
    let app = layer.layer(handler);
    let first = tokio::spawn(app.clone().oneshot(request()));
    patiently(entered.notified()).await;
    step().await;
    let key = IdempotencyKey::parse(b"order-1001").unwrap();
    let record = layer.inspect(&Scope::anonymous(), &key).await.unwrap().unwrap();
    assert!(matches!(record.state, State::Pending { abandoned: true }), "the step has an effect");

    let second = patiently(app.clone().oneshot(request())).await.unwrap();
    assert_eq!(second.status(), 409);
    assert!(second.headers().contains_key("Retry-After"), "in flight, and not abandoned");
    gate.notify_one();
    assert_eq!(first.await.unwrap().unwrap().status(), 201);
    let third = app.oneshot(request()).await.unwrap();
    assert_eq!((third.status().as_u16(), runs.load(Ordering::SeqCst)), (201, 1));
}

async fn on_redis(policy: OnAbandoned) {
    let server = RedisServer::start();
    let step = async || {
        for name in server.names() {
            server.age(&name, LEASE);
        }
    };
    let store = DynStore::new(RedisStore::open(&server.url()).unwrap());
    a_live_attempt_is_told_from_an_abandoned_one(store, step, policy).await;
}

async fn on_postgres(policy: OnAbandoned) {
    let base = Pg::start().await;
    let step = async || {
        base.ask(
            "UPDATE idempotency_records SET lease_until = lease_until - interval '3 s', \
             expires_at = expires_at - interval '3 s'",
        )
        .await;
    };
    a_live_attempt_is_told_from_an_abandoned_one(DynStore::new(base.leasing().await), step, policy)
        .await;
}

async fn on_sqlite(policy: OnAbandoned) {
    let base = Lite::start().await;
    let step = async || {
        base.ask(
            "UPDATE idempotency_records SET lease_until = datetime(lease_until, '-3 seconds', 'subsec'), \
             expires_at = datetime(expires_at, '-3 seconds', 'subsec')",
        )
        .await;
    };
    a_live_attempt_is_told_from_an_abandoned_one(DynStore::new(base.leasing().await), step, policy)
        .await;
}

macro_rules! under_both_policies {
    ($($store:ident)*) => {
        mod a_live_attempt_does_not_run_beside_itself {
            $(#[tokio::test(flavor = "multi_thread")] async fn $store() { super::$store(super::OnAbandoned::Rerun).await })*
        }
        mod the_outcome_of_a_live_attempt_is_not_called_unknown {
            $(#[tokio::test(flavor = "multi_thread")] async fn $store() { super::$store(super::OnAbandoned::Reject).await })*
        }
    };
}

under_both_policies! { on_redis on_postgres on_sqlite }
