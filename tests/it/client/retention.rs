//! The age of a key is checked before every attempt, by the wall clock. The clock of tokio is
//! paused, as a monotonic clock is while a machine is suspended.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::IdempotencyKey;
use tower_idempotency::client::{
    Disposition, Error, ErrorKind, KeyStore, MemoryKeyStore, Operations, Reported, StoredKey,
};

use super::{post, quick};

/// How long the keys of these tests are good: long enough for a first attempt on a busy machine.
const LEFT: Duration = Duration::from_secs(2);

type Suspending = BoxCloneService<Request<Full<Bytes>>, Response<Full<Bytes>>, Infallible>;

/// Says 503 after the machine was suspended until `end`, and counts the attempts.
fn suspended_until(end: SystemTime) -> (Suspending, Arc<AtomicUsize>) {
    let attempts = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&attempts);
    let service = service_fn(move |_: Request<Full<Bytes>>| {
        counter.fetch_add(1, Ordering::SeqCst);
        // Nothing runs meanwhile, and no other clock goes on.
        while let Ok(left) = end.duration_since(SystemTime::now()) {
            std::thread::sleep(left + Duration::from_millis(1));
        }
        async { Ok(Response::builder().status(503).body(Full::default()).unwrap()) }
    });
    (service.boxed_clone(), attempts)
}

#[track_caller]
fn assert_expired(error: &Error, attempts: &AtomicUsize) {
    assert_eq!(
        (error.kind(), error.attempts(), error.is_in_doubt()),
        (ErrorKind::Expired, 1, true)
    );
    assert_eq!(error.report().unwrap().disposition(), Disposition::Unknown);
    assert_eq!(attempts.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_suspension_an_unnamed_key_that_is_too_old_is_not_sent_again() {
    let (service, attempts) = suspended_until(SystemTime::now() + LEFT);
    let error = quick().retention(LEFT).layer(service).oneshot(post("/")).await.unwrap_err();
    assert_expired(&error, &attempts);
    assert!(error.key().is_some());
}

#[tokio::test(start_paused = true)]
async fn after_a_suspension_the_key_of_an_operation_that_is_too_old_is_not_sent_again() {
    let day = Duration::from_hours(24);
    let now = SystemTime::now();
    let stored = StoredKey {
        operation: "payout 1".into(),
        key: IdempotencyKey::parse(b"order-1001").unwrap(),
        created_at: now - day + LEFT,
    };
    let store = MemoryKeyStore::new();
    store.put_if_absent(stored.clone()).await.unwrap();
    let mut operation = Operations::new(store).begin("payout 1").await.unwrap();
    let (service, attempts) = suspended_until(now + LEFT);
    // The retention of the layer is for keys of its own.
    let mut client = quick().retention(Duration::MAX).layer(service);
    let error = operation.send(&mut client, post("/")).await.unwrap_err();
    assert_expired(&error, &attempts);
    assert_eq!(error.key(), Some(&stored.key));
    let error = operation.send(&mut client, post("/")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts(), error.is_in_doubt()),
        (ErrorKind::Expired, 0, true)
    );
    assert_eq!(attempts.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_would_come_too_late_is_not_waited_for() {
    let (service, attempts) = suspended_until(SystemTime::now());
    let service = service.map_response(|mut response: Response<Full<Bytes>>| {
        response.headers_mut().insert("retry-after", "30".parse().unwrap());
        response
    });
    let began = tokio::time::Instant::now();
    let layer = quick().retention(Duration::from_secs(20));
    let error = layer.layer(service).oneshot(post("/")).await.unwrap_err();
    assert_expired(&error, &attempts);
    assert_eq!(began.elapsed(), Duration::ZERO);
}
