//! Where the primary is, as the sentinels say.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, IntoConnectionInfo, ProtocolVersion,
    RedisConnectionInfo, RedisError, RedisResult,
};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::address::Address;
use super::link::tcp_settings;

/// How long a majority is waited for.
const MAJORITY: Duration = Duration::from_millis(400);

/// The sentinels that watch over one group of servers.
#[derive(Clone)]
pub(super) struct Sentinels {
    watching: Vec<ConnectionInfo>,
    group: String,
    /// For the servers of the group.
    settings: RedisConnectionInfo,
}

impl Sentinels {
    /// There must be one at least.
    pub(super) fn new(
        sentinels: Vec<ConnectionInfo>,
        group: String,
        settings: RedisConnectionInfo,
    ) -> Self {
        Self { watching: sentinels, group, settings }
    }

    /// The same group, and this version of the protocol for its servers.
    pub(super) fn speaking(self, protocol: ProtocolVersion) -> Self {
        Self { settings: self.settings.set_protocol(protocol), ..self }
    }

    #[cfg(test)]
    pub(super) fn sentinels(&self) -> &[ConnectionInfo] {
        &self.watching
    }

    #[cfg(test)]
    pub(super) fn group(&self) -> &str {
        &self.group
    }

    #[cfg(test)]
    pub(super) fn settings(&self) -> &RedisConnectionInfo {
        &self.settings
    }

    pub(super) fn db(&self) -> i64 {
        self.settings.db()
    }

    /// Asks all sentinels at once. The address that a majority of them names counts as soon as it
    /// is one. Without a majority in time, the one that was named most often counts, or the first
    /// that is named. The caller limits the time.
    pub(super) async fn primary(&self) -> RedisResult<ConnectionInfo> {
        let mut asked = JoinSet::new();
        for sentinel in &self.watching {
            asked.spawn(ask(sentinel.clone(), self.group.clone()));
        }
        let mut votes = Votes::default();
        let majority = self.watching.len() / 2 + 1;
        let _ = timeout(MAJORITY, votes.count_until(majority, &mut asked)).await;
        if votes.named.is_empty() {
            votes.count_until(1, &mut asked).await;
        }
        let primary = votes.winner()?;
        let like = self.watching.first().map(ConnectionInfo::addr);
        let info = primary.like(like).into_connection_info()?;
        Ok(info.set_redis_settings(self.settings.clone()))
    }
}

#[derive(Default)]
struct Votes {
    named: Vec<(Address, usize)>,
    failure: Option<RedisError>,
}

impl Votes {
    /// Counts votes until one address has so many, or all sentinels have replied.
    async fn count_until(
        &mut self,
        enough: usize,
        asked: &mut JoinSet<RedisResult<Option<Address>>>,
    ) {
        while let Some(reply) = asked.join_next().await {
            match reply {
                Ok(Ok(Some(address))) => {
                    if self.count(address) >= enough {
                        return;
                    }
                }
                Ok(Ok(None)) => self.failure = Some(unknown()),
                Ok(Err(error)) => self.failure = Some(error),
                Err(_) => {}
            }
        }
    }

    /// Counts one more vote. Returns how many there are for the same address.
    fn count(&mut self, address: Address) -> usize {
        if let Some((_, votes)) = self.named.iter_mut().find(|(named, _)| *named == address) {
            *votes += 1;
            return *votes;
        }
        self.named.push((address, 1));
        1
    }

    fn winner(self) -> RedisResult<Address> {
        let winner = self.named.into_iter().max_by_key(|(_, votes)| *votes);
        winner.map(|(address, _)| address).ok_or_else(|| self.failure.unwrap_or_else(unknown))
    }
}

fn unknown() -> RedisError {
    (ErrorKind::Client, "the sentinels know no group of this name").into()
}

async fn ask(sentinel: ConnectionInfo, group: String) -> RedisResult<Option<Address>> {
    // The caller sets the limits.
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let mut connection = Client::open(sentinel.set_tcp_settings(tcp_settings()))?
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    let named: Option<(String, u16)> = redis::cmd("SENTINEL")
        .arg("GET-MASTER-ADDR-BY-NAME")
        .arg(group)
        .query_async(&mut connection)
        .await?;
    Ok(named.map(|(host, port)| Address { host, port }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn address(port: u16) -> Address {
        Address { host: "127.0.0.1".to_owned(), port }
    }

    #[test]
    fn the_address_that_most_have_named_wins() {
        let mut votes = Votes::default();
        assert_eq!(votes.count(address(1)), 1);
        assert_eq!(votes.count(address(2)), 1);
        assert_eq!(votes.count(address(2)), 2);
        assert_eq!(votes.winner().ok(), Some(address(2)));
    }

    #[test]
    fn without_a_vote_the_failure_is_told() {
        assert!(
            Votes::default().winner().unwrap_err().to_string().contains("no group of this name")
        );
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let votes = Votes { failure: Some(refused.into()), ..Votes::default() };
        assert!(votes.winner().unwrap_err().is_connection_refusal());
    }
}
