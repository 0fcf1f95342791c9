//! How the store reaches its records: on one server, under Sentinel or in a cluster.

use std::sync::Arc;

use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisFuture, Value};

use super::cluster::{Cluster, Commands};
use super::eviction::Eviction;
use super::server::{Endpoint, Server};
use super::setting::Setting;
use super::url::Target;
use crate::store::timeout::Timeout;

/// The connection that the store makes for itself: to one server, to the primary that sentinels
/// name, or to a cluster.
///
/// Its clones share it. It is made when it is first needed, and again after it was lost. A command
/// may take as long as the layer's [store timeout](crate::IdempotencyLayer::store_timeout).
#[derive(Clone)]
pub struct Connection {
    reach: Reach,
    target: Arc<Target>,
}

#[derive(Clone)]
enum Reach {
    Server(Server),
    Cluster(Cluster),
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
            target: Arc::clone(&target),
        })
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
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

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match &self.reach {
            Reach::Server(server) => Box::pin(server.one(command)),
            Reach::Cluster(cluster) => Box::pin(async move {
                let mut replies = cluster.send(Commands::One(command)).await?;
                Ok(replies.pop().unwrap_or(Value::Nil))
            }),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match &self.reach {
            Reach::Server(server) => Box::pin(server.many(pipeline, offset, count)),
            Reach::Cluster(cluster) => {
                Box::pin(cluster.send(Commands::Many(pipeline, offset, count)))
            }
        }
    }

    fn get_db(&self) -> i64 {
        match &self.reach {
            Reach::Server(server) => server.db(),
            Reach::Cluster(_) => 0,
        }
    }
}
