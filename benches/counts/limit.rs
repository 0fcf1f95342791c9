//! The limit: handlers that do by hand the least that a replay needs, and no more.
//!
//! They store the bytes of the response under the key and a BLAKE3 digest of the request's body.
//! They fence nothing: two attempts of one key may both run on Redis once a lease has lapsed, and a
//! late one overwrites. They have no scopes, no leases and no renewals, store no headers, and lose
//! the operation with the client that hangs up. They show what a count can be, and are not an
//! alternative.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, cmd};

use super::http_server::{LOCATION, Payment, Requested, receipt};

const RETENTION_MS: u64 = 86_400_000;
/// How many bytes of a record are the digest of the request.
const DIGEST: usize = 32;

/// Above this many bytes a response is written by a plain SET, because a script copies it several
/// times.
const LARGE: usize = 2048;

/// Completes the record if it is still the pending one, which is the digest alone.
const COMPLETE: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3]) return 1";

fn key(headers: &HeaderMap) -> &[u8] {
    headers["x-idempotency-key"].as_bytes()
}

/// Runs the operation: 204 for a body that is swallowed, else the receipt.
fn run(wanted: &Requested, body: &[u8]) -> Bytes {
    let payment: Payment = serde_json::from_slice(body).unwrap();
    serde_json::to_vec(&receipt(wanted, payment)).unwrap().into()
}

fn respond(body: Bytes) -> Response {
    let json = (header::CONTENT_TYPE, "application/json");
    (StatusCode::CREATED, [LOCATION, json], body).into_response()
}

fn mismatch() -> Response {
    StatusCode::CONFLICT.into_response()
}

/// `None` while the operation runs.
type Records = HashMap<Bytes, (blake3::Hash, Option<Bytes>)>;

/// The map in 64 parts, each with a lock.
#[derive(Clone)]
struct Memory(Arc<(RandomState, [Mutex<Records>; 64])>);

impl Memory {
    fn part(&self, key: &[u8]) -> &Mutex<Records> {
        let (hasher, parts) = &*self.0;
        &parts[usize::try_from(hasher.hash_one(key) % 64).unwrap()]
    }

    /// Returns the stored response, or a response without one, or runs the operation.
    fn once(&self, headers: &HeaderMap, body: &[u8], run: impl FnOnce() -> Bytes) -> Option<Bytes> {
        let (key, digest) = (key(headers), blake3::hash(body));
        let part = self.part(key);
        if let Some((of, stored)) = part.lock().unwrap().get(key) {
            return stored.clone().filter(|_| *of == digest);
        }
        let key = Bytes::copy_from_slice(key);
        part.lock().unwrap().insert(key.clone(), (digest, None));
        let response = run();
        part.lock().unwrap().insert(key, (digest, Some(response.clone())));
        Some(response)
    }
}

pub(crate) fn memory() -> Router {
    let pay = async |State(memory): State<Memory>,
                     headers: HeaderMap,
                     Query(wanted): Query<Requested>,
                     body: Bytes| {
        memory.once(&headers, &body, || run(&wanted, &body)).map_or_else(mismatch, respond)
    };
    let swallow = async |State(memory): State<Memory>, headers: HeaderMap, body: Bytes| {
        memory
            .once(&headers, &body, Bytes::new)
            .map_or(StatusCode::CONFLICT, |_| StatusCode::NO_CONTENT)
    };
    let parts = std::array::from_fn(|_| Mutex::default());
    Router::new()
        .route("/payments", post(pay))
        .route("/swallow", post(swallow))
        .with_state(Memory(Arc::new((RandomState::new(), parts))))
}

#[derive(Clone)]
struct Redis {
    connection: MultiplexedConnection,
    complete: Arc<str>,
}

/// One command reserves the key or finds the record, and one script completes it.
pub(crate) async fn redis(url: &str) -> Router {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(4096);
    let client = Client::open(url).unwrap();
    let mut connection =
        client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
    let digest: String =
        cmd("SCRIPT").arg("LOAD").arg(COMPLETE).query_async(&mut connection).await.unwrap();
    let pay = async |State(redis): State<Redis>,
                     headers: HeaderMap,
                     Query(wanted): Query<Requested>,
                     body: Bytes| redis.once(key(&headers), &wanted, &body).await;
    Router::new()
        .route("/payments", post(pay))
        .with_state(Redis { connection, complete: digest.into() })
}

impl Redis {
    async fn once(mut self, key: &[u8], wanted: &Requested, body: &[u8]) -> Response {
        let digest = blake3::hash(body);
        let digest: &[u8; DIGEST] = digest.as_bytes();
        let mut reserve = cmd("SET");
        reserve.arg(key).arg(digest).arg("NX").arg("GET").arg("PX").arg(RETENTION_MS);
        let found: Option<Vec<u8>> = reserve.query_async(&mut self.connection).await.unwrap();
        if let Some(found) = found {
            let found = Bytes::from(found);
            if found.len() == DIGEST || !found.starts_with(digest) {
                return mismatch();
            }
            return respond(found.slice(DIGEST..));
        }
        let response = run(wanted, body);
        let mut complete;
        if response.len() > LARGE {
            complete = cmd("SET");
            complete.arg(key).arg([digest, &response[..]].concat()).arg("PX");
        } else {
            complete = cmd("EVALSHA");
            complete.arg(&*self.complete).arg(1).arg(key).arg(digest).arg(&*response);
        }
        complete.arg(RETENTION_MS);
        let completed: bool = complete.query_async(&mut self.connection).await.unwrap();
        assert!(completed);
        respond(response)
    }
}
