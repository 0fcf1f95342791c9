//! Where the primary is, as the sentinels say.

use std::sync::Arc;
use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, IntoConnectionInfo, ProtocolVersion,
    RedisConnectionInfo, RedisError, RedisResult,
};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::address::Address;
use super::error::is_unknown;
use super::link::tcp_settings;
use super::place::Place;
use super::probe::Probes;
use super::unreached::{Finding, Unreached, explained};

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

    /// As an error names the primary.
    pub(super) fn place(&self) -> Place {
        Place::primary(&self.group, &self.watching)
    }

    fn unknown(&self) -> RedisError {
        let cause = (ErrorKind::Client, "the sentinels know no group of this name").into();
        Unreached::found(self.place(), Some(Finding::NoGroup(self.group.clone())), cause)
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

    #[cfg(test)]
    pub(super) fn db(&self) -> i64 {
        self.settings.db()
    }

    /// Asks all sentinels at once. The address that a majority of them names counts as soon as it
    /// is one. Without a majority in time, the one that was named most often counts, or the first
    /// that is named. The caller limits the time.
    pub(super) async fn primary(&self, probes: &Arc<Probes>) -> RedisResult<ConnectionInfo> {
        let mut asked = JoinSet::new();
        for sentinel in &self.watching {
            asked.spawn(ask(sentinel.clone(), self.group.clone(), Arc::clone(probes)));
        }
        let mut votes = Votes::default();
        let majority = self.watching.len() / 2 + 1;
        let _ = timeout(MAJORITY, votes.count_until(majority, &mut asked)).await;
        if votes.named.is_empty() {
            votes.count_until(1, &mut asked).await;
        }
        let primary = votes.winner(|| self.unknown())?;
        let like = self.watching.first().map(ConnectionInfo::addr);
        let info = primary.like(like).into_connection_info()?;
        Ok(info.set_redis_settings(self.settings.clone()))
    }
}

#[derive(Default)]
struct Votes {
    named: Vec<(Address, usize)>,
    /// One of them has replied so.
    knows_no_group: bool,
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
                Ok(Ok(None)) => self.knows_no_group = true,
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

    /// If there was no vote, the reply of a sentinel says more than the failure of another.
    fn winner(self, unknown: impl FnOnce() -> RedisError) -> RedisResult<Address> {
        let winner = self.named.into_iter().max_by_key(|(_, votes)| *votes);
        let failure = self.failure.filter(|_| !self.knows_no_group);
        winner.map(|(address, _)| address).ok_or_else(|| failure.unwrap_or_else(unknown))
    }
}

async fn ask(
    sentinel: ConnectionInfo,
    group: String,
    probes: Arc<Probes>,
) -> RedisResult<Option<Address>> {
    let (address, place) = (sentinel.addr().clone(), Place::sentinel(sentinel.addr()));
    let connecting = async {
        super::tls::choose_provider();
        // The caller sets the limits.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let client = Client::open(sentinel.set_tcp_settings(tcp_settings()))?;
        client.get_multiplexed_async_connection_with_config(&config).await
    };
    let mut connection = explained(place.clone(), &address, &probes, connecting).await?;
    let named: RedisResult<Option<(String, u16)>> = redis::cmd("SENTINEL")
        .arg("GET-MASTER-ADDR-BY-NAME")
        .arg(group)
        .query_async(&mut connection)
        .await;
    let named = named.map_err(|cause| {
        let finding = is_unknown(&cause).then_some(Finding::NoSentinel);
        Unreached::found(place, finding, cause)
    })?;
    Ok(named.map(|(host, port)| Address { host, port }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn unknown() -> RedisError {
        (ErrorKind::Client, "no group").into()
    }

    fn address(port: u16) -> Address {
        Address { host: "127.0.0.1".to_owned(), port }
    }

    #[test]
    fn the_address_that_most_have_named_wins() {
        let mut votes = Votes::default();
        assert_eq!(votes.count(address(1)), 1);
        assert_eq!(votes.count(address(2)), 1);
        assert_eq!(votes.count(address(2)), 2);
        assert_eq!(votes.winner(unknown).ok(), Some(address(2)));
    }

    #[test]
    fn without_a_vote_the_failure_is_told_unless_a_sentinel_has_replied() {
        let told = Votes::default().winner(unknown).unwrap_err();
        assert_eq!(told.kind(), ErrorKind::Client);
        for knows_no_group in [false, true] {
            let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
            let votes = Votes { knows_no_group, failure: Some(refused.into()), ..Votes::default() };
            let told = votes.winner(unknown).unwrap_err();
            assert_eq!(told.is_connection_refusal(), !knows_no_group);
        }
    }
}
