//! The file of the gateway, as it is written. [`plan`](crate::plan) makes it into what runs.

use std::net::SocketAddr;
use std::path::PathBuf;

use http::HeaderName;
use serde::Deserialize;
use tower_idempotency::Settings;

mod beside;
mod fields;
mod forms;
mod position;
mod route;

pub(crate) use beside::Beside;
pub(crate) use forms::{Duration, OneOrMore, Secret, Size};
pub(crate) use position::{Position, Problem};
pub(crate) use route::{Everyone, Header, Profile, Route, Scope};

use fields::Fields;

/// A whole file.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) listen: OneOrMore<SocketAddr>,
    pub(crate) upstream: At<Upstream>,
    pub(crate) store: Option<At<Secret>>,
    pub(crate) secret: Option<At<Secret>>,
    pub(crate) encryption_keys: Vec<At<Secret>>,
    pub(crate) hosts: Vec<String>,
    pub(crate) tls: Option<At<Tls>>,
    pub(crate) jwt: Jwt,
    pub(crate) forwarded: Forwarded,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) operators: Option<At<Operators>>,
    pub(crate) log: Log,
    /// What holds for each route unless it says otherwise.
    pub(crate) defaults: Settings,
    pub(crate) routes: Vec<Route>,
}

/// A value and its position in the file.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) position: Position,
}

/// The position does not count.
impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T> At<T> {
    pub(crate) fn problem(&self, text: impl Into<String>) -> Problem {
        Problem::at(self.position, text)
    }
}

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "an upstream is a URL, or a table with `url`")]
pub(crate) enum Upstream {
    Url(String),
    Table(UpstreamTable),
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpstreamTable {
    pub(crate) url: String,
    /// HTTP/2 only: by ALPN over TLS, and with prior knowledge without it.
    #[serde(default)]
    pub(crate) http2: bool,
    /// The `Host` that the upstream gets. Absent: the client's.
    pub(crate) host: Option<String>,
    /// The certificates that the upstream's is checked against, instead of the system's.
    pub(crate) ca: Option<PathBuf>,
    /// How long an idle connection is used again. Absent: 1 s.
    pub(crate) idle: Option<Duration>,
}

impl Upstream {
    pub(crate) fn table(&self) -> UpstreamTable {
        match self {
            Self::Table(table) => table.clone(),
            Self::Url(url) => {
                UpstreamTable { url: url.clone(), http2: false, host: None, ca: None, idle: None }
            }
        }
    }
}

/// TLS towards clients.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// The certificates that clients' ones are checked against.
    pub(crate) client_ca: Option<PathBuf>,
    /// Whether a client needs a certificate on every route.
    #[serde(default)]
    pub(crate) require_client_certificate: bool,
}

/// How tokens are verified. A scope can have each of these for itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Jwt {
    /// A file, or an address.
    pub(crate) jwks: Option<String>,
    pub(crate) issuer: Option<OneOrMore<String>>,
    pub(crate) audience: Option<OneOrMore<String>>,
}

/// Which proxies in front of the gateway are trusted, and which headers the upstream gets.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(clippy::struct_field_names, reason = "the fields are named as in the file")]
pub(crate) struct Forwarded {
    /// How many proxies in front of the gateway are trusted.
    pub(crate) trusted_hops: usize,
    /// Whether `X-Forwarded-For`, `-Proto` and `-Host` are sent.
    pub(crate) x_forwarded: bool,
    /// Whether `Forwarded` (RFC 7239) is sent.
    pub(crate) forwarded: bool,
}

impl Default for Forwarded {
    fn default() -> Self {
        Self { trusted_hops: 0, x_forwarded: true, forwarded: false }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// The head of a request: its line and its headers.
    pub(crate) head: Size,
    pub(crate) headers: usize,
    /// The body of a request that is not guarded. A guarded one has `max_request`.
    pub(crate) body: Option<Size>,
    pub(crate) connections: usize,
    /// Concurrent requests on one HTTP/2 connection.
    pub(crate) streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: Size(64 << 10), headers: 100, body: None, connections: 10_000, streams: 200 }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Timeouts {
    /// Until a client has sent the head of its request.
    pub(crate) head: Duration,
    /// Until a connection to the upstream is made.
    pub(crate) connect: Duration,
    /// From the request to the head of the upstream's response.
    pub(crate) first_byte: Duration,
    /// Between two parts of a body, in either direction.
    pub(crate) idle: Duration,
    /// Without a byte in either direction of an upgraded connection.
    pub(crate) upgraded: Duration,
    /// From SIGTERM to the end of what still runs.
    pub(crate) drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::seconds(10),
            connect: Duration::seconds(5),
            first_byte: Duration::seconds(60),
            idle: Duration::seconds(60),
            upgraded: Duration::seconds(3600),
            drain: Duration::seconds(30),
        }
    }
}

/// The second listener.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Operators {
    pub(crate) listen: SocketAddr,
    /// Lines of `name:password`, for HTTP Basic.
    pub(crate) passwords: Option<Secret>,
    /// The header in which an authenticating proxy names the operator.
    #[serde(default, deserialize_with = "forms::header")]
    pub(crate) name_header: Option<HeaderName>,
    /// Names under which the page is reached, besides addresses and `localhost`.
    #[serde(default)]
    pub(crate) hosts: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    /// As in `RUST_LOG`, which has precedence.
    pub(crate) level: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

impl File {
    /// Reads the text of a file.
    ///
    /// # Errors
    ///
    /// The first thing in it that is wrong, with its position.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let mut fields = Fields::parse(text)?;
        let file = Self {
            listen: fields.required("listen", "listen = \"0.0.0.0:8080\"")?.value,
            upstream: fields.required("upstream", "upstream = \"http://127.0.0.1:8000\"")?,
            store: fields.optional("store")?,
            secret: fields.optional("secret")?,
            encryption_keys: fields.each("encryption_keys")?,
            hosts: fields.or_default("hosts")?,
            tls: fields.optional("tls")?,
            jwt: fields.or_default("jwt")?,
            forwarded: fields.or_default("forwarded")?,
            limits: fields.or_default("limits")?,
            timeouts: fields.or_default("timeouts")?,
            operators: fields.optional("operators")?,
            log: fields.or_default("log")?,
            defaults: fields.or_default("defaults")?,
            routes: fields
                .tables("route")?
                .into_iter()
                .map(Route::parse)
                .collect::<Result<_, _>>()?,
        };
        fields.end()?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests;
