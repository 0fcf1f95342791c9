//! What an operator should know about a Redis server.

use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{ErrorKind, FromRedisValue, RedisError, cmd};

use super::RedisStore;
use super::error::store_error;
use super::eviction::policy;
use crate::store::StoreError;
use crate::store::check::{CheckItem, DURABILITY, EVICTION, clock};

impl<C: ConnectionLike + Clone + Send + Sync> RedisStore<C> {
    /// Asks one server. A question that it rejects stays open.
    pub(super) async fn look_around(&self) -> Result<Vec<CheckItem>, StoreError> {
        let time: Option<(u64, u32)> = self.asks("TIME", None).await?;
        let memory: Option<String> = self.asks("INFO", Some("memory")).await?;
        let disk: Option<String> = self.asks("INFO", Some("persistence")).await?;
        let clock = time.map(|(seconds, micros)| {
            clock::compare(Duration::from_secs(seconds) + Duration::from_micros(micros.into()))
        });
        let eviction = memory.as_deref().and_then(policy).map(|policy| {
            EVICTION.found(policy == "noeviction", format!("maxmemory-policy is {policy}"))
        });
        let durability = disk.map(|disk| {
            let is_on = disk.lines().any(|line| line.trim_end() == "aof_enabled:1");
            let found = if is_on { "appendonly is on" } else { "appendonly is off" };
            DURABILITY.found(is_on, found)
        });
        Ok([clock, durability, eviction].into_iter().flatten().collect())
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
