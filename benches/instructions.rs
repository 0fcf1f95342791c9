//! Instruction counts of the pure functions and of the memory path. They do not depend on other
//! load of the machine.
//!
//! Needs valgrind, and `cargo install gungraun-runner` of the version in Cargo.lock.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::hint::black_box;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use gungraun::{library_benchmark, library_benchmark_group, main};
use tokio::runtime::Runtime;
use tower::ServiceExt;
use tower_idempotency::store::{Outcome, StorageKey, StoredBody};
use tower_idempotency::{
    CanonicalBody, EncryptionKeys, Fingerprint, IdempotencyKey, IdempotencyLayer, MemoryStore,
    Scope,
};

#[allow(dead_code, unreachable_pub)]
mod support;

use support::{bare, request};

#[library_benchmark]
#[bench::bare(b"8e03978e-40d5-43dd-bc93-6894a57f9324")]
#[bench::quoted(b"\"8e03978e-40d5-43dd-bc93-6894a57f9324\"")]
fn parse_key(value: &[u8]) -> IdempotencyKey {
    black_box(IdempotencyKey::parse(black_box(value))).unwrap()
}

#[library_benchmark]
#[bench::plain(IdempotencyKey::parse(b"8e03978e-40d5-43dd-bc93-6894a57f9324").unwrap())]
fn storage_key(key: IdempotencyKey) -> StorageKey {
    black_box(StorageKey::derive(None, "payments", &Scope::new("account-17"), &key))
}

fn message(length: usize) -> (HeaderMap, Vec<u8>) {
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (HeaderMap::from_iter([json]), vec![b'x'; length])
}

#[library_benchmark]
#[bench::of_200_bytes(message(200))]
#[bench::of_16_kib(message(16 << 10))]
#[bench::of_256_kib(message(256 << 10))]
fn fingerprint((headers, body): (HeaderMap, Vec<u8>)) -> Fingerprint {
    black_box(Fingerprint::of_request(&Method::POST, "/payments", &headers, &[], &body))
}

fn outcome() -> Outcome {
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let location = (header::LOCATION, HeaderValue::from_static("/payments/4f1c2a90"));
    Outcome::new(
        StatusCode::CREATED,
        StoredBody::Whole { bytes: Bytes::from(vec![b'x'; 300]), trailers: None },
    )
    .headers(HeaderMap::from_iter([json, location]))
}

#[library_benchmark]
#[bench::of_300_bytes(outcome())]
fn encode_outcome(outcome: Outcome) -> Vec<u8> {
    black_box(outcome.encode())
}

#[library_benchmark]
#[bench::of_300_bytes(Bytes::from(outcome().encode()))]
fn decode_outcome(frame: Bytes) -> Outcome {
    black_box(Outcome::decode(frame)).unwrap()
}

/// A runtime, a router and a request, after one earlier request.
fn after(app: Router, before: Option<&str>, key: Option<&str>) -> (Runtime, Router, Request<Body>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let response = runtime.block_on(app.clone().oneshot(request(before))).unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    (runtime, app, request(key))
}

fn guarded() -> Router {
    set_up(|layer| layer)
}

fn set_up(
    set: impl FnOnce(IdempotencyLayer<MemoryStore>) -> IdempotencyLayer<MemoryStore>,
) -> Router {
    bare().layer(set(IdempotencyLayer::new(MemoryStore::new()).scope(|_| Scope::new("bench"))))
}

fn canonical() -> Router {
    set_up(|layer| layer.fingerprint(CanonicalBody::json()))
}

fn encrypted() -> Router {
    set_up(|layer| layer.encrypt(EncryptionKeys::new(1, [1; 32])))
}

#[library_benchmark]
#[bench::bare_handler(after(bare(), None, None))]
#[bench::no_key(after(guarded(), None, None))]
#[bench::memory_first(after(guarded(), Some("before"), Some("key")))]
#[bench::memory_replay(after(guarded(), Some("key"), Some("key")))]
#[bench::canonical_first(after(canonical(), Some("before"), Some("key")))]
#[bench::canonical_replay(after(canonical(), Some("key"), Some("key")))]
#[bench::encrypted_first(after(encrypted(), Some("before"), Some("key")))]
#[bench::encrypted_replay(after(encrypted(), Some("key"), Some("key")))]
fn oneshot(ready: (Runtime, Router, Request<Body>)) -> (Runtime, Router, Response<Body>) {
    let (runtime, app, request) = ready;
    let response = runtime.block_on(app.clone().oneshot(request)).unwrap();
    // The runtime and the router are dropped outside of the counted part.
    black_box((runtime, app, response))
}

library_benchmark_group!(
    name = pure,
    benchmarks = [parse_key, storage_key, fingerprint, encode_outcome, decode_outcome]
);
library_benchmark_group!(name = path, benchmarks = oneshot);
main!(library_benchmark_groups = [pure, path]);
