//! The settings: variables of the environment, each with a default.

use std::env::var;
use std::time::Duration;

pub(crate) struct Settings {
    /// `LISTEN`. Port 0 is any free port.
    pub(crate) listen: String,
    /// `TOKENS`: `token=account`, separated by commas. Without it, a random token is printed.
    pub(crate) tokens: Option<String>,
    /// `ORIGIN`: the origin of the pages that may call the service.
    pub(crate) origin: String,
    /// `REDIS_URL`: the records of payments are there, not in memory.
    pub(crate) redis_url: Option<String>,
    /// `DATABASE_URL`: orders and their records are in this PostgreSQL, not in `SQLITE_FILE`.
    pub(crate) database_url: Option<String>,
    pub(crate) sqlite_file: String,
    /// `HANDLER_TIMEOUT_MS`: a handler that takes longer ends with 504.
    pub(crate) handler_timeout: Duration,
    /// `PROVIDER_LATENCY_MS`: how long a charge takes.
    pub(crate) provider_latency: Duration,
    /// `GRACE_MS`: how long running requests may take at the end. Shorter than the grace period of
    /// the orchestrator.
    pub(crate) grace: Duration,
}

impl Settings {
    pub(crate) fn from_env() -> Result<Self, String> {
        let or = |name: &str, default: &str| var(name).unwrap_or_else(|_| default.into());
        Ok(Self {
            listen: or("LISTEN", "127.0.0.1:3000"),
            tokens: var("TOKENS").ok(),
            origin: or("ORIGIN", "http://localhost:5173"),
            redis_url: var("REDIS_URL").ok(),
            database_url: var("DATABASE_URL").ok(),
            sqlite_file: or("SQLITE_FILE", "service.db"),
            handler_timeout: milliseconds("HANDLER_TIMEOUT_MS", 10_000)?,
            provider_latency: milliseconds("PROVIDER_LATENCY_MS", 50)?,
            grace: milliseconds("GRACE_MS", 25_000)?,
        })
    }
}

fn milliseconds(name: &str, default: u64) -> Result<Duration, String> {
    let given = var(name).map_or(Ok(default), |given| given.parse());
    given.map(Duration::from_millis).map_err(|error| format!("{name}: {error}"))
}
