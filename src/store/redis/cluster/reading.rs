//! Which servers are asked for the map of the slots.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::{ErrorKind, RedisError, RedisResult};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::Inner;
use super::slots::{self, Slots};
use crate::runtime::lock::lock;
use crate::store::redis::address::Address;
use crate::store::redis::commands::{Commands, last};
use crate::store::redis::setting::within;

/// How long the servers may take to tell which slots they have before they are asked again. Longer
/// than a server may be silent, so that the question goes over a new connection: on the old one,
/// commands would wait behind each more question.
const READ: Duration = Duration::from_millis(1100);
/// How long some may take before others are asked too.
const TURN: Duration = Duration::from_millis(150);
/// How many servers with a connection are asked at first.
const ASKED: usize = 3;

/// When the map was read, and the result.
pub(super) type Read = Option<(Instant, RedisResult<()>)>;

impl Inner {
    /// Asks several servers at once for the map. The first reply with a map counts. If there is
    /// none, others are asked, because a server may have been reset or never have been in the
    /// cluster.
    pub(super) async fn read(&self) -> RedisResult<()> {
        let mut asked = JoinSet::new();
        let read = within(self.setting.timeout.get(), self.ask_until_told(&mut asked)).await;
        // The other requests are not aborted, so that their replies still have a caller.
        asked.detach_all();
        self.adopt(read?);
        Ok(())
    }

    /// A server that is slow has as long as the callers wait. One that is asked again may by then
    /// have a new connection.
    async fn ask_until_told(
        &self,
        asked: &mut JoinSet<RedisResult<Vec<Slots>>>,
    ) -> RedisResult<Vec<Slots>> {
        loop {
            if let Ok(told) = timeout(READ, self.ask_in_turn(asked)).await {
                return told;
            }
        }
    }

    async fn ask_in_turn(
        &self,
        asked: &mut JoinSet<RedisResult<Vec<Slots>>>,
    ) -> RedisResult<Vec<Slots>> {
        let mut failure = RedisError::from((ErrorKind::Client, "no server of the cluster to ask"));
        for group in self.candidates().into_iter().filter(|group| !group.is_empty()) {
            for address in group {
                let server = self.server(&address);
                asked.spawn(async move {
                    let question = Commands::of(&[&[b"CLUSTER", b"SLOTS"]]);
                    let map = server.send(&question).await.and_then(last)?;
                    slots::read(map, &address.host)
                });
            }
            if let Ok(Some(map)) = timeout(TURN, first(asked, &mut failure)).await {
                return Ok(map);
            }
        }
        first(asked, &mut failure).await.ok_or(failure)
    }

    /// Which servers to ask for the map: those with a connection, then the others, and last those
    /// in doubt.
    fn candidates(&self) -> [Vec<Address>; 3] {
        let map = Arc::clone(&lock(&self.map));
        let named = map.iter().map(|slots| Address { host: slots.host.clone(), port: slots.port });
        let mut all: Vec<_> =
            named.chain(self.seeds.iter().filter_map(|seed| Address::of(seed.addr()))).collect();
        all.sort_unstable();
        all.dedup();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % all.len().max(1);
        all.rotate_left(turn);
        let (in_doubt, all): (Vec<_>, Vec<_>) = {
            let in_doubt = lock(&self.in_doubt);
            all.into_iter().partition(|address| in_doubt.contains(address))
        };
        let (mut sound, mut others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|address| self.server(address).is_sound());
        others.extend(sound.drain(ASKED.min(sound.len())..));
        [sound, others, in_doubt]
    }
}

/// The first map. `None` if no server that was asked knows one.
async fn first(
    asked: &mut JoinSet<RedisResult<Vec<Slots>>>,
    failure: &mut RedisError,
) -> Option<Vec<Slots>> {
    while let Some(reply) = asked.join_next().await {
        match reply {
            Ok(Ok(map)) => return Some(map),
            Ok(Err(error)) => *failure = error,
            Err(_) => {}
        }
    }
    None
}
