//! What an operator should know about a Redis server.

use std::time::Duration;

use redis::{ErrorKind, FromRedisValue};

use super::RedisStore;
use super::commands::{Commands, last};
use super::error::store_error;
use super::eviction::policy;
use crate::store::StoreError;
use crate::store::check::{
    CheckItem, DEAD_CLIENTS, DURABILITY, EVICTION, PERMISSIONS, REPLICAS, SERVER, SWEEP, clock,
};

mod tls;

/// As the threat model of the guide has it. The names begin with the prefix.
const ACCESS: &str = "limit the user to the names `~idempotency:*` (the prefix of the store) and the \
                      commands `+ping +get +getrange +set +pttl +pexpire +del +unlink +eval \
                      +evalsha`; `RedisStore::open` lists what a cluster and Sentinel need besides";

impl RedisStore {
    /// Asks one server. A question that it rejects stays open.
    pub(super) async fn look_around(&self) -> Result<Vec<CheckItem>, StoreError> {
        let time: Option<(u64, u32)> = self.asks(&[b"TIME"]).await?;
        let server: Option<String> = self.asks(&[b"INFO", b"server"]).await?;
        let role: Option<String> = self.asks(&[b"INFO", b"replication"]).await?;
        let memory: Option<String> = self.asks(&[b"INFO", b"memory"]).await?;
        let disk: Option<String> = self.asks(&[b"INFO", b"persistence"]).await?;
        let server = server.as_deref().zip(role.as_deref()).and_then(server_item);
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
            DEAD_CLIENTS.not_applicable(),
            PERMISSIONS.remedy(ACCESS).unseen(),
            REPLICAS.remedy("set `min-replicas-to-write 1` if there are replicas").unseen(),
        ];
        Ok([server, clock, durability, eviction, tls].into_iter().flatten().chain(others).collect())
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

/// The oldest version that the tests run on.
const OLDEST: (u32, u32) = (6, 2);

fn server_item((server, replication): (&str, &str)) -> Option<CheckItem> {
    let (name, version) = match (field(server, "valkey_version"), field(server, "redis_version")) {
        (Some(version), _) => ("Valkey", version),
        (None, version) => ("Redis", version?),
    };
    let mut numbers = version.split('.').map_while(|number| number.parse().ok());
    let is_supported = (numbers.next()?, numbers.next().unwrap_or(0)) >= OLDEST;
    let is_primary = field(replication, "role")? == "master";
    let role = if is_primary { "the primary" } else { "a replica" };
    Some(SERVER.found(is_supported && is_primary, format!("{name} {version}, {role}")))
}

fn field<'a>(account: &'a str, name: &str) -> Option<&'a str> {
    account.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::CheckResult;

    #[test]
    fn an_old_server_and_a_replica_are_found() {
        let item = |server, replication| {
            let item = server_item((server, replication)).unwrap();
            (item.result, item.found)
        };
        let (passed, open) = (CheckResult::Passed, CheckResult::Open);
        let primary = "# Replication\r\nrole:master\r\n";
        let found = item("# Server\r\nredis_version:7.0.15\r\n", primary);
        assert_eq!(found, (passed, "Redis 7.0.15, the primary".into()));
        let found = item("redis_version:7.2.4\r\nvalkey_version:9.1.0\r\n", "role:slave\r\n");
        assert_eq!(found, (open, "Valkey 9.1.0, a replica".into()));
        assert_eq!(item("redis_version:6.0.16\r\n", primary).0, open);
        assert_eq!(item("redis_version:10.0\r\n", primary).0, passed);
        assert!(server_item(("", primary)).is_none());
    }
}
