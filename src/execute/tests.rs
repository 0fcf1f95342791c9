#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;

use super::*;
use crate::MemoryStore;
use crate::record::key::StorageKey;
use crate::settings::InFlight;
use crate::store::{Lease, Record, Reservation, ReserveRequest, Settlement, StoreError};

const LEASE: Duration = Duration::from_secs(10);

/// Its reservations take a turn of the scheduler, as those of a server do.
#[derive(Clone)]
struct Remote(MemoryStore);

impl Store for Remote {
    async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        let reply = self.0.reserve(request).await;
        tokio::task::yield_now().await;
        reply
    }

    async fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        let reply = self.0.complete(lease, outcome, retention).await;
        tokio::task::yield_now().await;
        reply
    }

    async fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        let reply = self.0.fail(lease, outcome, retention).await;
        tokio::task::yield_now().await;
        reply
    }

    async fn release(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        let reply = self.0.release(lease).await;
        tokio::task::yield_now().await;
        reply
    }

    async fn renew(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        self.0.renew(lease).await
    }

    async fn inspect(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        self.0.inspect(key).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.0.ping().await
    }
}

/// Begins an operation, and polls it once. The second one is given meanwhile.
async fn held(
    layer: IdempotencyLayer<Remote>,
    pause: Duration,
) -> (usize, [Result<Executed<u8>, ExecuteError<Infallible>>; 2]) {
    let runs = Arc::new(AtomicUsize::new(0));
    let (scope, key) = (Scope::new("one"), IdempotencyKey::parse(b"order-1001").unwrap());
    let execute = || {
        let runs = Arc::clone(&runs);
        layer.execute(&scope, &key, Fingerprint::of_fields([b"order"]), move |_: Attempt| {
            runs.fetch_add(1, Ordering::SeqCst);
            async { Ok::<u8, Infallible>(7) }
        })
    };
    let mut first = Box::pin(execute());
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut first).poll(cx).is_pending())).await;
    // As a stream of `buffer_unordered` while its consumer is busy.
    tokio::time::sleep(pause).await;
    let second = execute().await;
    let first = first.await;
    (runs.load(Ordering::SeqCst), [first, second])
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_is_not_polled_for_longer_than_its_lease_does_not_run_twice() {
    let layer = IdempotencyLayer::new(Remote(MemoryStore::new())).lease(LEASE);
    let (runs, ended) = held(layer, 2 * LEASE).await;
    assert_eq!(runs, 1, "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_is_not_polled_does_not_hold_up_those_that_wait_for_it() {
    let layer = IdempotencyLayer::new(Remote(MemoryStore::new()))
        .lease(LEASE)
        .in_flight(InFlight::Wait(Duration::from_secs(5)));
    let (runs, [first, second]) = held(layer, Duration::ZERO).await;
    assert_eq!(runs, 1);
    assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
}

/// The same for a request over HTTP, which its caller polls until the handler waits.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_polled_for_longer_than_its_lease_does_not_run_twice() {
    let runs = Arc::new(AtomicUsize::new(0));
    let handler = {
        let runs = Arc::clone(&runs);
        tower::service_fn(move |_: http::Request<Full<Bytes>>| {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, Infallible>(http::Response::new(Full::from(run.to_string()))) }
        })
    };
    let layer = IdempotencyLayer::new(Remote(MemoryStore::new())).lease(LEASE);
    let service = tower::Layer::layer(&layer, handler);
    let send = || {
        let request = http::Request::post("/").header("idempotency-key", "order-1001");
        tower::Service::call(&mut service.clone(), request.body(Full::default()).unwrap())
    };
    let mut first = Box::pin(send());
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut first).poll(cx).is_pending())).await;
    tokio::time::sleep(2 * LEASE).await;
    let is_replay =
        |response: &http::Response<_>| response.headers().contains_key("x-idempotent-result");
    assert!(!is_replay(&send().await.unwrap()));
    assert!(is_replay(&first.await.unwrap()));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

/// The caller goes after each number of polls, in its runtime and on a thread outside of it.
#[tokio::test(start_paused = true)]
async fn an_operation_whose_caller_goes_runs_to_its_end_wherever_it_was() {
    for polls in 0..20 {
        for outside in [false, true] {
            let store = Remote(MemoryStore::new());
            let layer = IdempotencyLayer::new(store.clone())
                .lease(LEASE)
                .in_flight(if polls % 2 == 0 { InFlight::Wait(LEASE) } else { InFlight::Reject });
            let runs = Arc::new(AtomicUsize::new(0));
            let (scope, key) = (Scope::new("one"), IdempotencyKey::parse(b"order-1001").unwrap());
            let execute = |layer: &IdempotencyLayer<Remote>| {
                let (runs, layer) = (Arc::clone(&runs), layer.clone());
                let (scope, key) = (scope.clone(), key.clone());
                async move {
                    let fingerprint = Fingerprint::of_fields([b"order"]);
                    let operation = move |_: Attempt| {
                        let runs = Arc::clone(&runs);
                        async move {
                            tokio::task::yield_now().await;
                            runs.fetch_add(1, Ordering::SeqCst);
                            tokio::time::sleep(Duration::from_millis(1)).await;
                            Ok::<u8, Infallible>(7)
                        }
                    };
                    layer.execute(&scope, &key, fingerprint, operation).await
                }
            };
            let mut first = Box::pin(execute(&layer));
            for _ in 0..polls {
                let poll = std::future::poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx)));
                if poll.await.is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            if outside {
                std::thread::spawn(move || drop(first)).join().unwrap();
            } else {
                drop(first);
            }
            let shutdown = tokio::time::timeout(Duration::from_mins(1), layer.shutdown());
            shutdown.await.unwrap();
            assert_eq!(runs.load(Ordering::SeqCst), usize::from(polls > 0), "{polls}");
            let another = IdempotencyLayer::new(store).lease(LEASE);
            let retried = execute(&another).await.unwrap();
            assert_eq!(retried, Executed::new(7, polls > 0), "{polls}");
            assert_eq!(runs.load(Ordering::SeqCst), 1, "{polls}");
        }
    }
}
