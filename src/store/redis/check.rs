//! What an operator should know about a Redis server.

use std::any::Any;
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{ErrorKind, FromRedisValue, RedisError, cmd};

use super::error::store_error;
use super::eviction::policy;
use super::{Connection, RedisStore};
use crate::store::StoreError;
use crate::store::check::{CheckItem, DURABILITY, EVICTION, PERMISSIONS, REPLICAS, SWEEP, clock};

mod tls;

/// As the threat model of the guide has it. The names begin with the prefix.
const ACCESS: &str = "limit the user to the names `~idempotency:*` (the prefix of the store) and the \
                      commands `+ping +get +getrange +set +pttl +pexpire +del +unlink +eval \
                      +evalsha`; `RedisStore::open` lists what a cluster and Sentinel need besides";

impl<C: ConnectionLike + Clone + Send + Sync + 'static> RedisStore<C> {
    /// Asks one server. A question that it rejects stays open.
    pub(super) async fn look_around(&self) -> Result<Vec<CheckItem>, StoreError> {
        let time: Option<(u64, u32)> = self.asks("TIME", None).await?;
        let memory: Option<String> = self.asks("INFO", Some("memory")).await?;
        let disk: Option<String> = self.asks("INFO", Some("persistence")).await?;
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
        let connection = (&self.connection as &dyn Any).downcast_ref::<Connection>();
        let tls = connection.and_then(|connection| tls::seen(connection.target()));
        let others = [
            SWEEP.not_applicable(),
            PERMISSIONS.remedy(ACCESS).unseen(),
            REPLICAS.remedy("set `min-replicas-to-write 1` if there are replicas").unseen(),
        ];
        Ok([clock, durability, eviction, tls].into_iter().flatten().chain(others).collect())
    }

    /// `None` if the server rejects the question.
    async fn asks<T: FromRedisValue>(
        &self,
        command: &str,
        section: Option<&str>,
    ) -> Result<Option<T>, StoreError> {
        let mut question = cmd(command);
        if let Some(section) = section {
            question.arg(section);
        }
        let reply: Result<T, RedisError> = question.query_async(&mut self.connection.clone()).await;
        match reply {
            Ok(reply) => Ok(Some(reply)),
            Err(error) if matches!(error.kind(), ErrorKind::Server(_)) => Ok(None),
            Err(error) => Err(store_error(error)),
        }
    }
}
