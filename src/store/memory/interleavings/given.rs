//! What the threads work with.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tokio::time::Instant;

use super::HOUR;
use super::sync::{AtomicU64, Mutex};
use crate::record::fingerprint::Fingerprint;
use crate::record::key::{IdempotencyKey, Scope, ScopeDigest, StorageKey};
use crate::record::outcome::{NotRetained, Outcome, StoredBody};
use crate::store::ReserveRequest;
use crate::store::memory::capacity::Capacity;
use crate::store::memory::claim::{Claim, RECORD};
use crate::store::memory::limits::Limits;
use crate::store::memory::operator::Audit;
use crate::store::memory::search::Search;
use crate::store::memory::shard::Shard;
use crate::store::memory::{Inner, Secret, frame};

/// A scope with a share. [`ask`] asks for one without.
pub(super) fn scope() -> ScopeDigest {
    ScopeDigest::of(None, &Scope::new("tenant"))
}

/// A store of so many shards, with capacity for so many records.
pub(super) fn store(shards: usize, max_records: usize) -> Arc<Inner> {
    let secret = Secret::new();
    Arc::new(Inner {
        shards: (0..shards).map(|_| Mutex::new(Shard::new(secret))).collect(),
        secret,
        capacity: Capacity::new(shards, secret, Limits::new(max_records, usize::MAX)),
        search: Search::default(),
        audit: Audit::default(),
        id: 0,
        tokens: AtomicU64::new(1),
        start: Instant::now(),
    })
}

/// Made before the exploration, because its threads have small stacks.
pub(super) fn ask(key: &str, lease: Duration) -> ReserveRequest {
    let key = IdempotencyKey::parse(key.as_bytes()).unwrap();
    ReserveRequest::new(
        StorageKey::derive(None, "tests", &Scope::anonymous(), &key),
        Fingerprint::of_request(&Method::POST, "/", &HeaderMap::new(), &[], b""),
    )
    .lease(lease)
    .retention(HOUR * 2)
}

pub(super) fn many_asks() -> Vec<ReserveRequest> {
    (0..64).map(|number| ask(&number.to_string(), HOUR)).collect()
}

/// The first in the first shard, the second in the second one. The keys depend on the secret of the
/// store.
pub(super) fn in_two_shards(store: &Inner, asks: &[ReserveRequest]) -> [ReserveRequest; 2] {
    [0, 1].map(|shard| {
        let ask = asks.iter().find(|ask| store.index(&ask.key) == shard);
        ask.expect("64 keys are not all in one of two shards").clone()
    })
}

pub(super) fn response() -> Bytes {
    let body = StoredBody::Whole { bytes: Bytes::from(vec![b'a'; 500]), trailers: None };
    frame(&Outcome::new(StatusCode::OK, body))
}

/// The rest of [`response`] when its record is put back.
pub(super) fn without_body() -> Bytes {
    frame(&Outcome::new(StatusCode::OK, StoredBody::NotRetained(NotRetained::Failure)))
}

/// The bytes of all responses that the store counts.
pub(super) fn response_bytes(store: &Inner) -> usize {
    store.capacity.bytes() - RECORD * store.capacity.records()
}

/// The bytes that a response counts for beside its record.
pub(super) fn counted(response: &Bytes) -> usize {
    Claim::bytes(response.len()) - RECORD
}
