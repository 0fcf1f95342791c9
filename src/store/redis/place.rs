//! The servers that a store tries to reach, as an error names them.

use std::fmt;

use redis::{ConnectionAddr, ConnectionInfo};

/// The server that was to be reached. It contains no user and no password.
#[derive(Debug, Clone)]
pub(super) struct Place {
    role: Role,
    /// For example `127.0.0.1:6379 (the default port)`, or a list of these.
    addresses: String,
    trust: Trust,
}

#[derive(Debug, Clone)]
enum Role {
    Server,
    Sentinel,
    /// All servers of a cluster that are known so far.
    Cluster,
    /// The primary of this group, wherever its sentinels are.
    Primary(String),
}

/// Which certificates the connection accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// None is asked for.
    Plain,
    /// Those that the features of the crate choose.
    Default,
    /// Those of authorities that the caller has given.
    Given,
}

impl Place {
    pub(super) fn server(address: &ConnectionAddr) -> Self {
        Self::one(Role::Server, address, 6379)
    }

    pub(super) fn sentinel(address: &ConnectionAddr) -> Self {
        Self::one(Role::Sentinel, address, 26379)
    }

    pub(super) fn cluster(servers: &[ConnectionInfo]) -> Self {
        Self::several(Role::Cluster, servers, 6379)
    }

    pub(super) fn primary(group: &str, sentinels: &[ConnectionInfo]) -> Self {
        Self::several(Role::Primary(group.to_owned()), sentinels, 26379)
    }

    fn one(role: Role, address: &ConnectionAddr, default_port: u16) -> Self {
        Self { role, addresses: named(address, default_port), trust: Trust::of(address) }
    }

    fn several(role: Role, infos: &[ConnectionInfo], default_port: u16) -> Self {
        let addresses: Vec<_> = infos.iter().map(|info| named(info.addr(), default_port)).collect();
        let trust = infos.first().map_or(Trust::Plain, |info| Trust::of(info.addr()));
        Self { role, addresses: addresses.join(", "), trust }
    }

    /// Without the role.
    pub(super) fn addresses(&self) -> &str {
        &self.addresses
    }

    /// What listens there, if the address is right.
    pub(super) fn noun(&self) -> &'static str {
        match self.role {
            Role::Sentinel | Role::Primary(_) => "sentinel",
            Role::Server | Role::Cluster => "server",
        }
    }

    pub(super) fn trust(&self) -> Trust {
        self.trust
    }
}

impl Trust {
    fn of(address: &ConnectionAddr) -> Self {
        match address {
            ConnectionAddr::TcpTls { tls_params: Some(_), .. } => Self::Given,
            ConnectionAddr::TcpTls { .. } => Self::Default,
            _ => Self::Plain,
        }
    }
}

/// As the subject of a sentence.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = &self.addresses;
        match &self.role {
            Role::Server => write!(f, "the server at {addresses}"),
            Role::Sentinel => write!(f, "the sentinel at {addresses}"),
            Role::Cluster => write!(f, "the cluster with the servers at {addresses}"),
            Role::Primary(group) => {
                write!(f, "the primary of `{group}`, which the sentinels at {addresses} know,")
            }
        }
    }
}

/// A port that a URL leaves out is easily overlooked.
fn named(address: &ConnectionAddr, default_port: u16) -> String {
    match address {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            let is_default = if *port == default_port { " (the default port)" } else { "" };
            format!("{host}:{port}{is_default}")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> ConnectionAddr {
        ConnectionAddr::Tcp(host.to_owned(), port)
    }

    #[test]
    fn a_default_port_is_called_so() {
        assert_eq!(Place::server(&at("::1", 6379)).addresses(), "[::1]:6379 (the default port)");
        assert_eq!(Place::server(&at("redis", 26379)).to_string(), "the server at redis:26379");
        assert_eq!(
            Place::sentinel(&at("10.0.0.1", 26379)).to_string(),
            "the sentinel at 10.0.0.1:26379 (the default port)"
        );
    }
}
