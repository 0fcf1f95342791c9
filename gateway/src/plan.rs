//! What a gateway does, made from its file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;
use tower_idempotency::IdempotencyLayer;
use tower_idempotency::service::Idempotency;
use tower_idempotency::store::DynStore;

use crate::file::{Beside, File, Limits, Problem, Timeouts};
use crate::identity::{Identity, KeyServers};
use crate::proxy::{Proxy, Tunnels};
use crate::table::{Table, name_of};
use crate::telemetry::Figures;

mod maker;
mod secrets;
mod stores;

pub(crate) use stores::Stores;

use maker::Maker;

/// The name of what has no route, in metrics and logs. No path is written like this.
const UNGUARDED: &str = "unguarded";

/// What a gateway does with each request.
pub(crate) struct Plan {
    pub(crate) table: Table<Guard>,
    /// What becomes of a request without a route.
    pub(crate) pass: Proxy,
    pub(crate) pass_figures: Figures,
    /// The hosts that the gateway serves, if it does not serve all.
    pub(crate) hosts: Option<Vec<String>>,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    /// TLS towards clients, for connections that come from now on.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// One layer for each store and namespace, under the namespace, for operators.
    pub(crate) namespaces: BTreeMap<String, IdempotencyLayer<DynStore>>,
    /// The stores that are in use, each with a layer.
    pub(crate) stores: Vec<IdempotencyLayer<DynStore>>,
}

/// A route that is guarded.
pub(crate) struct Guard {
    pub(crate) figures: Figures,
    pub(crate) identity: Identity,
    pub(crate) service: Idempotency<Proxy, DynStore>,
}

/// What stays from one plan to the next.
pub(crate) struct Kept {
    pub(crate) stores: Stores,
    pub(crate) tunnels: Tunnels,
    pub(crate) keys: KeyServers,
    /// The files that the last plan names, also if it could not be made.
    pub(crate) beside: Beside,
}

impl Plan {
    /// Makes a plan. Relative paths begin in `folder`.
    ///
    /// # Errors
    ///
    /// The first thing in the file that cannot be, with its position.
    pub(crate) async fn new(file: &File, folder: &Path, kept: &mut Kept) -> Result<Self, Problem> {
        let File { hosts, limits, timeouts, routes, .. } = file;
        let (limits, timeouts) = (limits.clone(), timeouts.clone());
        let hosts = (!hosts.is_empty()).then(|| hosts.iter().map(|host| name_of(host)).collect());
        let mut maker = Maker::new(file, folder, kept);
        let tls = maker.tls()?;
        let pass_figures = Figures::new(UNGUARDED);
        let pass = maker.proxy(&file.upstream, &pass_figures, 0)?;
        let mut table = Table::default();
        for route in routes {
            maker.add(&mut table, route).await?;
        }
        let made = maker.end();
        let stores = kept.stores.keep(&made.stores);
        kept.keys.keep(&made.key_servers);
        let namespaces = made.namespaces;
        Ok(Self { table, pass, pass_figures, hosts, limits, timeouts, tls, namespaces, stores })
    }
}
