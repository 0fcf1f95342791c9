//! The stores that schedules are played on: the servers, and what can be done to them.

use sql::{File, Postgres};

use super::plan::StoreFault;
use crate::support::redis::{Cluster, RedisServer, SentinelGroup};
use crate::support::wire::{State, Wire};

mod sql;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Redis,
    Sentinel,
    Cluster,
    Postgres,
    Sqlite,
}

impl Kind {
    pub(super) const ALL: [Self; 5] =
        [Self::Redis, Self::Sentinel, Self::Cluster, Self::Postgres, Self::Sqlite];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Sentinel => "sentinel",
            Self::Cluster => "cluster",
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
        }
    }

    /// The faults that its servers can have at any time.
    pub(super) fn faults(self) -> &'static [StoreFault] {
        match self {
            Self::Redis | Self::Postgres => &[StoreFault::Stop, StoreFault::Crash],
            Self::Sqlite => &[StoreFault::Stop],
            Self::Sentinel | Self::Cluster => {
                &[StoreFault::KillPrimary, StoreFault::StopPrimary, StoreFault::Failover]
            }
        }
    }

    /// Whether there is a network of its own between each sandbox and the servers. Groups tell
    /// their clients where their servers are, and a proxy would be passed by.
    pub(super) fn has_network(self) -> bool {
        matches!(self, Self::Redis | Self::Postgres)
    }

    /// How long a fault of its servers lasts, in milliseconds: at least, and at most. Some last
    /// long enough for a failover, and some do not.
    pub(super) fn lasts(self) -> (u64, u64) {
        match self {
            Self::Redis | Self::Postgres | Self::Sqlite => (50, 2500),
            Self::Sentinel | Self::Cluster => (100, 4000),
        }
    }
}

pub(super) enum Stage {
    Redis(Single),
    /// The group, and the port of the primary that was killed.
    Sentinel(SentinelGroup, Option<u16>),
    Cluster(Cluster, Option<u16>),
    Postgres(Postgres),
    Sqlite(File),
}

/// One server, and a network between it and each sandbox.
pub(super) struct Single {
    server: RedisServer,
    wires: Vec<Wire>,
}

impl Stage {
    pub(super) async fn start(kind: Kind, sandboxes: usize) -> Self {
        match kind {
            Kind::Redis => Self::Redis(Single::start(sandboxes).await),
            // Servers are started by blocking calls.
            Kind::Sentinel => {
                Self::Sentinel(tokio::task::block_in_place(SentinelGroup::start), None)
            }
            Kind::Cluster => Self::Cluster(tokio::task::block_in_place(Cluster::start), None),
            Kind::Postgres => Self::Postgres(Postgres::start(sandboxes).await),
            Kind::Sqlite => Self::Sqlite(File::new()),
        }
    }

    /// What the flag `--store` of a sandbox is.
    pub(super) fn url(&self, sandbox: usize) -> String {
        match self {
            Self::Redis(single) => single.wires[sandbox].url(),
            Self::Sentinel(group, _) => group.url(),
            Self::Cluster(cluster, _) => cluster.url(),
            Self::Postgres(postgres) => postgres.url(sandbox),
            Self::Sqlite(file) => file.url(),
        }
    }

    pub(super) fn set_network(&self, sandbox: usize, state: State) {
        match self {
            Self::Redis(single) => single.wires[sandbox].set(state),
            Self::Postgres(postgres) => postgres.set_network(sandbox, state),
            Self::Sentinel(..) | Self::Cluster(..) | Self::Sqlite(_) => {
                unreachable!("it has no network of its own")
            }
        }
    }

    pub(super) fn inject(&mut self, fault: StoreFault) {
        match self {
            Self::Redis(single) => single.inject(fault),
            Self::Postgres(postgres) => postgres.inject(fault),
            Self::Sqlite(file) => file.inject(fault),
            Self::Sentinel(group, killed) => match fault {
                StoreFault::KillPrimary => *killed = Some(group.kill_primary()),
                StoreFault::StopPrimary => drop(group.stop_primary()),
                StoreFault::Failover => drop(group.failover()),
                other => unreachable!("a group has no {other:?}"),
            },
            Self::Cluster(cluster, killed) => match fault {
                StoreFault::KillPrimary => *killed = Some(cluster.kill_primary()),
                StoreFault::StopPrimary => drop(cluster.stop_primary()),
                StoreFault::Failover => drop(cluster.failover()),
                other => unreachable!("a cluster has no {other:?}"),
            },
        }
    }

    pub(super) fn undo(&mut self, fault: StoreFault) {
        match self {
            Self::Redis(single) => single.undo(fault),
            Self::Postgres(postgres) => postgres.undo(fault),
            Self::Sqlite(file) => file.undo(fault),
            // Started again before a replica has taken its place, a primary would be empty, and
            // empty its replicas.
            Self::Sentinel(group, killed) => {
                killed.take().into_iter().for_each(|port| group.moved_from(port));
                group.heal();
            }
            Self::Cluster(cluster, killed) => {
                killed.take().into_iter().for_each(|port| cluster.moved_from(port));
                cluster.heal();
            }
        }
    }
}

impl Single {
    async fn start(sandboxes: usize) -> Self {
        let server = RedisServer::start_durable();
        let mut wires = Vec::new();
        for _ in 0..sandboxes {
            wires.push(Wire::start(server.port()).await);
        }
        Self { server, wires }
    }

    fn inject(&mut self, fault: StoreFault) {
        match fault {
            StoreFault::Stop => self.server.stop(),
            StoreFault::Crash | StoreFault::Wipe => self.server.kill(),
            other => unreachable!("one server has no {other:?}"),
        }
    }

    fn undo(&mut self, fault: StoreFault) {
        match fault {
            StoreFault::Stop => self.server.resume(),
            StoreFault::Crash => self.server.revive(),
            StoreFault::Wipe => self.server.restart(),
            other => unreachable!("one server has no {other:?}"),
        }
    }
}
