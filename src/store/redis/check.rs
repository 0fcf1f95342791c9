//! What an operator should know about a Redis server.

use std::time::Duration;

use redis::{ErrorKind, FromRedisValue};

use super::RedisStore;
use super::commands::{Commands, last};
use super::error::store_error;
use super::eviction::policy;
use crate::store::StoreError;
use crate::store::check::{CheckItem, DURABILITY, EVICTION, PERMISSIONS, REPLICAS, SWEEP, clock};

mod tls;

/// As the threat model of the guide has it. The names begin with the prefix.
const ACCESS: &str = "limit the user to the names `~idempotency:*` (the prefix of the store) and the \
                      commands `+ping +get +getrange +set +pttl +pexpire +del +unlink +eval \
                      +evalsha`; `RedisStore::open` lists what a cluster and Sentinel need besides";

impl RedisStore {
    /// Asks one server. A question that it rejects stays open.
    pub(super) async fn look_around(&self) -> Result<Vec<CheckItem>, StoreError> {
        let time: Option<(u64, u32)> = self.asks(&[b"TIME"]).await?;
        let memory: Option<String> = self.asks(&[b"INFO", b"memory"]).await?;
        let disk: Option<String> = self.asks(&[b"INFO", b"persistence"]).await?;
        let clock = time.map(|(seconds, micros)| {
            clock::compare(Duration::from_secs(seconds) + Duration::from_micros(micros.into()))
        });
        let eviction = memory.as_deref().and_then(policy).map(|policy| {
            let eviction = EVICTION.remedy("set `maxmemory-policy noeviction`");
            eviction.found(policy == "noeviction", format!("maxmemory-policy is {policy}"))
        });
        let durability = disk.map(|disk| {
            let is_on = disk.lines().any(|line| line.trim_end() == "aof_enabled:1");
            let found = if is_on { "appendonly is on" } else { "appendonly is off" };
            DURABILITY.remedy("set `appendonly yes`").found(is_on, found)
        });
        // A connection of the caller's own does not say where it leads.
        let tls = self.connection.target().and_then(tls::seen);
        let others = [
            SWEEP.not_applicable(),
            PERMISSIONS.remedy(ACCESS).unseen(),
            REPLICAS.remedy("set `min-replicas-to-write 1` if there are replicas").unseen(),
        ];
        Ok([clock, durability, eviction, tls].into_iter().flatten().chain(others).collect())
    }

    /// `None` if the server rejects the question.
    async fn asks<T: FromRedisValue>(&self, question: &[&[u8]]) -> Result<Option<T>, StoreError> {
        match self.connection.send(&Commands::of(&[question])).await.and_then(last) {
            Ok(reply) => Ok(Some(reply)),
            Err(error) if matches!(error.kind(), ErrorKind::Server(_)) => Ok(None),
            Err(error) => Err(store_error(error)),
        }
    }
}
