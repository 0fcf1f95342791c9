//! What else listens where the handshake of Redis fails.
//!
//! It is looked at until the store has connected for the first time. After that, the address is
//! known to be right.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use redis::ConnectionAddr;
use tokio::time::Instant;

use crate::runtime::lock::lock;
use crate::store::listener::{Protocol, speaks_other};

/// How long a result counts.
const RESULT: Duration = Duration::from_secs(5);

/// The results of one store.
#[derive(Default)]
pub(super) struct Probes(Mutex<Results>);

#[derive(Default)]
struct Results {
    has_connected: bool,
    found: HashMap<String, (Instant, Option<Protocol>)>,
}

impl Probes {
    /// The store has connected, so there is nothing to find out.
    pub(super) fn connected(&self) {
        *lock(&self.0) = Results { has_connected: true, found: HashMap::new() };
    }

    /// Looks, unless that was just done. `None` if it is not known.
    pub(super) async fn look(&self, address: &ConnectionAddr) -> Option<Protocol> {
        let (host, port, tried) = match address {
            ConnectionAddr::Tcp(host, port) => (host, *port, Protocol::Redis),
            ConnectionAddr::TcpTls { host, port, .. } => (host, *port, Protocol::Tls),
            _ => return None,
        };
        let name = address.to_string();
        {
            let results = lock(&self.0);
            match results.found.get(&name) {
                _ if results.has_connected => return None,
                Some((at, found)) if at.elapsed() < RESULT => return *found,
                _ => {}
            }
        }
        let found = speaks_other(host, port, tried).await;
        lock(&self.0).found.insert(name, (Instant::now(), found));
        found
    }
}
