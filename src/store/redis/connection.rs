//! How the store reaches its records, whatever stands behind a URL.

use std::sync::Arc;

use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisFuture, Value};

use super::cluster::{Cluster, Commands};
use super::eviction::Eviction;
use super::server::{Place, Server};
use super::url::Target;

/// The connection that the store makes for itself: to one server, to the primary that sentinels name, or to a cluster.
///
/// Its clones share it. It is made when it is first needed, and again after it was lost; it speaks RESP3.
#[derive(Clone)]
pub struct Connection(Reach);

#[derive(Clone)]
enum Reach {
    Server(Server),
    Cluster(Cluster),
}

impl Connection {
    /// Connects nowhere yet.
    pub(super) fn to(target: Target) -> Self {
        let eviction = Arc::<Eviction>::default();
        Self(match target {
            Target::Server(info) => Reach::Server(Server::new(Place::Fixed(info), eviction)),
            Target::Sentinel(sentinels) => Reach::Server(Server::new(Place::Primary(sentinels), eviction)),
            Target::Cluster(seeds) => Reach::Cluster(Cluster::new(seeds, eviction)),
        })
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            match &self.0 {
                Reach::Server(server) => server.one(command).await,
                Reach::Cluster(cluster) => {
                    let mut answers = cluster.send(Commands::One(command)).await?;
                    Ok(answers.pop().unwrap_or(Value::Nil))
                }
            }
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            match &self.0 {
                Reach::Server(server) => server.many(pipeline, offset, count).await,
                Reach::Cluster(cluster) => cluster.send(Commands::Many(pipeline, offset, count)).await,
            }
        })
    }

    fn get_db(&self) -> i64 {
        match &self.0 {
            Reach::Server(server) => server.db(),
            Reach::Cluster(_) => 0,
        }
    }
}
