//! Two sandboxes that share a Redis server and a ledger.

use std::sync::Arc;

use tempfile::TempDir;

use super::patiently;
use super::redis::RedisServer;
use super::sandbox::{Sandbox, SandboxResponse};
use super::wire::Wire;

pub(crate) struct Pair {
    pub(crate) redis: RedisServer,
    pub(crate) one: Arc<Sandbox>,
    pub(crate) other: Arc<Sandbox>,
    pub(crate) directory: TempDir,
}

impl Pair {
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let redis = RedisServer::start();
        let url = redis.url();
        Self::start_at(redis, &url, flags).await
    }

    /// The same, with a network between the first sandbox and the server. They are connected
    /// already, and the server knows the script that completes a record.
    pub(crate) async fn start_apart(flags: &[&str]) -> (Self, Wire) {
        let redis = RedisServer::start();
        let wire = Wire::start(redis.port()).await;
        let pair = Self::start_at(redis, &wire.url(), flags).await;
        let echo = pair.one.request("POST", "/echo").header("x-idempotency-key", "first");
        assert_eq!(pair.one.send(echo, "hello").await.status, 200);
        pair.redis.clear();
        (pair, wire)
    }

    async fn start_at(redis: RedisServer, url_of_one: &str, flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (ledger, notes) = (directory.path().join("ledger"), directory.path().join("stderr"));
        let start = async |url: &str| {
            Arc::new(
                Sandbox::start_noting(&ledger, &notes, &[&["--store", url], flags].concat()).await,
            )
        };
        let (one, other) = (start(url_of_one).await, start(&redis.url()).await);
        Self { redis, one, other, directory }
    }

    /// Asks the second sandbox until the key is no longer in flight.
    pub(crate) async fn next(&self, key: &str, order: &serde_json::Value) -> SandboxResponse {
        let ask = async {
            loop {
                let response = self.other.pay(key, order).await;
                if response.header("retry-after").is_none() {
                    return response;
                }
                response.rejected_for_now(409, "idempotency_key_in_flight");
            }
        };
        patiently(ask).await
    }
}
