//! How the store reaches its records: on one server, under Sentinel, in a cluster, or over a
//! connection of the caller's own.

use std::sync::Arc;

use redis::aio::ConnectionLike;
use redis::{RedisResult, Value};

use super::address::Address;
use super::cluster::Cluster;
use super::commands::Commands;
use super::driver::Foreign;
use super::eviction::Eviction;
use super::server::{Endpoint, Server};
use super::setting::Setting;
use super::slot_set::SlotSet;
use super::url::Target;
use crate::store::timeout::Timeout;

/// The connection of a store. Its clones share it.
///
/// Unless the caller has given it, it is made when it is first needed, and again after it was lost.
/// A command may take as long as the layer's
/// [store timeout](crate::IdempotencyLayer::store_timeout).
#[derive(Clone)]
pub(super) struct Connection {
    reach: Reach,
    /// `None` if the caller has given the connection.
    target: Option<Arc<Target>>,
}

#[derive(Clone)]
enum Reach {
    Server(Server),
    Cluster(Cluster),
    Foreign(Arc<dyn Foreign>),
}

/// A server with a part of the records.
pub(super) struct Part {
    /// Those of its records.
    pub(super) slots: SlotSet,
    /// `None` if it is the only one.
    server: Option<Address>,
}

impl Part {
    pub(super) fn is_of_cluster(&self) -> bool {
        self.server.is_some()
    }
}

impl Connection {
    /// Two connections to the same servers. They connect nowhere yet.
    pub(super) fn pair(target: Target, timeout: &Timeout) -> [Self; 2] {
        let setting = Setting {
            timeout: timeout.clone(),
            eviction: Arc::<Eviction>::default(),
            probes: Arc::default(),
        };
        let target = Arc::new(target);
        [(); 2].map(|()| Self {
            reach: Reach::to(&target, setting.clone()),
            target: Some(Arc::clone(&target)),
        })
    }

    /// A connection of the caller's own.
    pub(super) fn foreign(connection: impl ConnectionLike + Clone + Send + Sync + 'static) -> Self {
        Self { reach: Reach::Foreign(Arc::new(connection)), target: None }
    }

    pub(super) fn target(&self) -> Option<&Target> {
        self.target.as_deref()
    }

    /// Returns one reply for each command. Errors of the server are values.
    pub(super) async fn send(&self, commands: &Commands) -> RedisResult<Vec<Value>> {
        match &self.reach {
            Reach::Server(server) => server.send(commands).await,
            Reach::Cluster(cluster) => Box::pin(cluster.send(commands)).await,
            Reach::Foreign(connection) => connection.send(commands).await,
        }
    }
}

impl Connection {
    /// The server with this slot.
    pub(super) async fn part_with(&self, slot: u16) -> RedisResult<Part> {
        match &self.reach {
            Reach::Server(_) | Reach::Foreign(_) => {
                Ok(Part { slots: SlotSet::all(), server: None })
            }
            Reach::Cluster(cluster) => {
                let (server, slots) = cluster.part_with(slot).await?;
                Ok(Part { slots, server: Some(server) })
            }
        }
    }

    /// Sends commands to one server, whose names may be in any slots. Names in slots that it does
    /// not have are errors among the replies.
    pub(super) async fn send_to(
        &self,
        part: &Part,
        commands: &Commands,
    ) -> RedisResult<Vec<Value>> {
        match (&self.reach, &part.server) {
            (Reach::Cluster(cluster), Some(server)) => cluster.send_to(server, commands).await,
            _ => self.send(commands).await,
        }
    }
}

impl Reach {
    fn to(target: &Target, setting: Setting) -> Self {
        match target.clone() {
            Target::Server(info) => Self::Server(Server::new(Endpoint::Fixed(info), setting)),
            Target::Sentinel(sentinels) => {
                Self::Server(Server::new(Endpoint::Primary(sentinels), setting))
            }
            Target::Cluster(seeds) => Self::Cluster(Cluster::new(seeds, setting)),
        }
    }
}
