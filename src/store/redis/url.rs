//! Where the records are, as a URL says it.

use std::borrow::Cow;

use redis::{ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisError};

use super::error::store_error;
use super::sentinel::Sentinels;
use crate::store::{StoreError, StoreErrorKind};

mod fault;

/// Where the records are.
#[derive(Clone)]
pub(super) enum Target {
    Server(ConnectionInfo),
    Sentinel(Sentinels),
    /// Some servers of the cluster, one at least.
    Cluster(Vec<ConnectionInfo>),
}

impl Target {
    /// Reads a URL of one server, or of a list of them. RESP3 is used unless the URL says which
    /// protocol: with it, a server's messages and its replies are two different things.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
        let Some((scheme, kind)) = scheme.split_once('+') else {
            return Self::server(url);
        };
        let is_tls = match scheme {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => return Err(wrong(fault::of_scheme(&format!("{scheme}+{kind}")))),
        };
        if kind == "unix" && !is_tls {
            return Self::server(url);
        }
        let list = List::parse(scheme, rest)?;
        let target = match kind {
            "sentinel" => list.sentinel(),
            "cluster" => list.cluster(),
            _ => Err(wrong(fault::of_scheme(&format!("{scheme}+{kind}")))),
        };
        target.map(|target| target.speaking(list.protocol))
    }

    fn server(url: &str) -> Result<Self, StoreError> {
        if fault::is_cut_in_password(url) {
            return Err(wrong(fault::ENCODE));
        }
        let target =
            url.into_connection_info().map(Self::Server).map_err(|error| not_a_url(url, error))?;
        // The driver reads RESP2 from a URL that names no protocol.
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let is_said = query.split('&').any(|pair| pair.starts_with("protocol="));
        Ok(if is_said { target } else { target.speaking(ProtocolVersion::RESP3) })
    }

    /// The same servers, and this version of the protocol.
    pub(super) fn speaking(self, protocol: ProtocolVersion) -> Self {
        let speaking = |info: ConnectionInfo| {
            let settings = info.redis_settings().clone().set_protocol(protocol);
            info.set_redis_settings(settings)
        };
        match self {
            Self::Server(info) => Self::Server(speaking(info)),
            Self::Sentinel(sentinels) => Self::Sentinel(sentinels.speaking(protocol)),
            Self::Cluster(seeds) => Self::Cluster(seeds.into_iter().map(speaking).collect()),
        }
    }

    /// The primary that sentinels name for a group.
    pub(super) fn sentinel(
        sentinels: Vec<ConnectionInfo>,
        group: &str,
        settings: RedisConnectionInfo,
    ) -> Result<Self, StoreError> {
        if sentinels.is_empty() {
            return Err(wrong("there is no sentinel in the list"));
        }
        if group.is_empty() {
            return Err(wrong("the name that the sentinels know the group by is missing"));
        }
        Ok(Self::Sentinel(Sentinels::new(sentinels, group.to_owned(), settings)))
    }

    /// A cluster, found through some of its servers.
    pub(super) fn cluster(servers: Vec<ConnectionInfo>) -> Result<Self, StoreError> {
        if servers.is_empty() {
            return Err(wrong("there is no server in the list"));
        }
        if servers.iter().any(|server| server.redis_settings().db() != 0) {
            return Err(wrong(ONLY_ONE_DATABASE));
        }
        Ok(Self::Cluster(servers))
    }
}

/// `[user:password@]host:port,host:port[/path][?protocol=…]`
struct List<'a> {
    scheme: &'a str,
    /// With the `@` that ends it.
    credentials: &'a str,
    hosts: Vec<&'a str>,
    path: Vec<&'a str>,
    protocol: ProtocolVersion,
}

impl<'a> List<'a> {
    fn parse(scheme: &'a str, rest: &'a str) -> Result<Self, StoreError> {
        if matches!(scheme, "rediss" | "valkeys") && !has_tls() {
            return Err(wrong(NEEDS_TLS));
        }
        let (rest, protocol) = match rest.split_once("?protocol=") {
            None => (rest, ProtocolVersion::RESP3),
            Some((rest, "resp2" | "2")) => (rest, ProtocolVersion::RESP2),
            Some((rest, "resp3" | "3")) => (rest, ProtocolVersion::RESP3),
            Some(_) => return Err(wrong(PROTOCOL)),
        };
        if rest.contains(['?', '#']) {
            return Err(wrong(
                "only `?protocol=` has a meaning here; in a password, `?` and `#` are written %3F and %23",
            ));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if path.contains('@') {
            return Err(wrong("a `/` in a password is written %2F"));
        }
        let (credentials, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        let path = if path.is_empty() { Vec::new() } else { path.split('/').collect() };
        Ok(Self { scheme, credentials, hosts: hosts.split(',').collect(), path, protocol })
    }

    fn servers(&self, credentials: &str, port: u16) -> Result<Vec<ConnectionInfo>, StoreError> {
        let read = |host: &&str| {
            // The colons of an IPv6 address are in brackets.
            let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
            let port = if has_port { String::new() } else { format!(":{port}") };
            let url = format!("{}://{credentials}{host}{port}", self.scheme);
            // The driver's error may say more than should be shown.
            let read = Some(url)
                .filter(|_| !host.is_empty())
                .and_then(|url| url.into_connection_info().ok());
            read.ok_or_else(|| {
                let has_credentials = !self.credentials.is_empty();
                let fault = fault::of_server(host, has_credentials);
                wrong(fault.unwrap_or_else(|| NOT_A_SERVER.to_owned()))
            })
        };
        self.hosts.iter().map(read).collect()
    }

    fn sentinel(&self) -> Result<Target, StoreError> {
        let (group, db) = match self.path[..] {
            [group] | [group, ""] => (group, 0),
            [group, db] => (group, database(db)?),
            [] => ("", 0),
            _ => return Err(wrong("too much follows the name of the group")),
        };
        let sentinels = self.servers("", 26379)?;
        // The credentials are for the servers. Sentinels have their own, if any.
        let settings = self.servers(self.credentials, 26379)?[0].redis_settings().clone();
        Target::sentinel(sentinels, group, settings.set_db(db))
    }

    fn cluster(&self) -> Result<Target, StoreError> {
        if !matches!(self.path[..], [] | ["" | "0"]) {
            return Err(wrong(ONLY_ONE_DATABASE));
        }
        Target::cluster(self.servers(self.credentials, 6379)?)
    }
}

fn database(path: &str) -> Result<i64, StoreError> {
    match (fault::of_database(path), path.parse()) {
        (None, Ok(number)) => Ok(number),
        (fault, _) => Err(wrong(fault.unwrap_or_else(|| "the database is missing".to_owned()))),
    }
}

/// The driver's error says less than can be seen in the URL.
fn not_a_url(url: &str, error: RedisError) -> StoreError {
    let is_tls = ["rediss:", "valkeys:"].iter().any(|scheme| url.starts_with(scheme));
    let is_read = |url: &str| url.into_connection_info().is_ok();
    let query_and_fragment = url.find(['?', '#']).map(|end| url.split_at(end));
    match query_and_fragment {
        _ if is_tls && !has_tls() => store_error(error).detail(NEEDS_TLS),
        Some((start, rest)) if is_read(start) => {
            store_error(error).detail(if rest.starts_with('?') { PROTOCOL } else { FRAGMENT })
        }
        _ => store_error(error).detail(fault::of_url(url)),
    }
}

/// Whether the crate `redis` has one of its TLS features.
fn has_tls() -> bool {
    "rediss://localhost".into_connection_info().is_ok()
}

const NEEDS_TLS: &str = "TLS needs the feature `redis-tls-rustls` of tower-idempotency, or one of the TLS features \
                         of the crate `redis`";
const PROTOCOL: &str = "the protocol behind the `?` is neither `protocol=resp2` nor `protocol=resp3`; in a \
                        password, `?` is written %3F";
const FRAGMENT: &str = "only `#insecure` has a meaning, for TLS; in a password, `#` is written %23";
const NOT_A_SERVER: &str =
    "one of the servers is not HOST:PORT, or the user or the password is not percent-encoded";
const ONLY_ONE_DATABASE: &str =
    "a cluster has no database but 0: nothing follows the last server, or `/0`";

/// An error in a URL or a list. It quotes no part that may be a password.
fn wrong(what: impl Into<Cow<'static, str>>) -> StoreError {
    StoreError::new(StoreErrorKind::Configuration).detail(what)
}

#[cfg(test)]
mod tests;
