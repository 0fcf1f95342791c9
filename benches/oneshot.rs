//! The cost of one request in process: pass-through, first execution and replay, each compared with
//! the bare handler.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use criterion::{
    BatchSize, BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime,
};
use tokio::runtime::Runtime;
use tower::ServiceExt;
use tower_idempotency::store::Store;
use tower_idempotency::{IdempotencyLayer, MemoryStore, Scope};

#[allow(dead_code, unreachable_pub)]
mod support;

use support::{bare, request};

fn layer<S: Store>(store: S) -> IdempotencyLayer<S> {
    IdempotencyLayer::new(store).scope(|_| Scope::new("bench"))
}

fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    runtime: &Runtime,
    name: &str,
    app: &Router,
    request: impl Fn() -> Request<Body>,
) {
    group.bench_function(name, |bencher| {
        bencher.to_async(runtime).iter_batched(
            || (app.clone(), request()),
            |(app, request)| async move {
                let response = app.oneshot(request).await.unwrap();
                assert!(response.status().is_success());
                response
            },
            BatchSize::SmallInput,
        );
    });
}

fn unique() -> Request<Body> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    request(Some(&format!("key-{}", NEXT.fetch_add(1, Ordering::Relaxed))))
}

fn oneshot(criterion: &mut Criterion) {
    // One thread, so that the figures do not include waking another thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut group = criterion.benchmark_group("oneshot");
    measure(&mut group, &runtime, "bare handler", &bare(), || request(None));

    // Capacity for every first execution of a run.
    let store = MemoryStore::new().max_records(usize::MAX).max_bytes(usize::MAX);
    let memory = bare().layer(layer(store));
    measure(&mut group, &runtime, "memory, no key", &memory, || request(None));
    measure(&mut group, &runtime, "memory, first", &memory, unique);
    measure(&mut group, &runtime, "memory, replay", &memory, || request(Some("replay")));

    #[cfg(feature = "redis")]
    {
        let server = support::Redis::start(&[]);
        let _entered = runtime.enter();
        let store = tower_idempotency::RedisStore::open(&server.url()).unwrap();
        let redis = bare().layer(layer(store));
        measure(&mut group, &runtime, "Redis, first", &redis, unique);
        measure(&mut group, &runtime, "Redis, replay", &redis, || request(Some("replay")));
    }
    group.finish();
}

criterion_group!(benches, oneshot);
criterion_main!(benches);
