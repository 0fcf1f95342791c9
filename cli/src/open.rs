//! Opens the store of a URL, and puts a layer with the settings of the service over it.

use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use tower_idempotency::store::{DynStore, Identifier, StoreError};
use tower_idempotency::{IdempotencyLayer, PostgresStore, RedisStore, SqliteStore};

use crate::args::Globals;
use crate::failure::{Failure, told};
use crate::secrets;

/// A command sends one statement at a time, and the store sometimes one more beside it.
const CONNECTIONS: u32 = 2;

const FORMS: &str = "the store is a URL: redis://HOST:PORT, rediss://…, redis+cluster://…, \
                     redis+sentinel://…, postgres://… or sqlite:PATH";

/// A layer over a store.
pub(crate) struct Opened {
    pub(crate) layer: IdempotencyLayer<DynStore>,
    pub(crate) store: DynStore,
    /// Whether it has a key for responses.
    pub(crate) has_encryption_key: bool,
}

/// Opens a store. No error contains a password.
pub(crate) fn open(
    globals: &Globals,
    url: Option<&str>,
    namespace: Option<&str>,
) -> Result<Opened, Failure> {
    let Some(url) = url.or(globals.store.as_deref()).filter(|url| !url.is_empty()) else {
        return Err(Failure::usage(format!(
            "there is no store: use --store or the variable IDEMPOTENCY_STORE; {FORMS}"
        )));
    };
    // Before the store, because a wrong file is found at once.
    let secret = secrets::secret(globals.secret_file.as_deref())?;
    let encryption = secrets::encryption_keys(&globals.encryption_key_files)?;
    let store = store(url, globals)?;
    let mut layer = IdempotencyLayer::new(store.clone())
        .namespace(namespace.unwrap_or_default())
        .store_timeout(globals.timeout);
    if let Some(secret) = secret {
        layer = layer.secret(secret);
    }
    let has_encryption_key = encryption.is_some();
    if let Some(keys) = encryption {
        layer = layer.encrypt(if globals.accept_plain { keys.accept_plain() } else { keys });
    }
    Ok(Opened { layer, store, has_encryption_key })
}

fn store(url: &str, globals: &Globals) -> Result<DynStore, Failure> {
    let kind = Kind::of(url).ok_or_else(|| Failure::usage(FORMS))?;
    kind.has_options(globals)?;
    let table = globals.table.as_deref().map(|name| identifier("--table", name)).transpose()?;
    match kind {
        Kind::Redis => {
            let store = RedisStore::open(url).map_err(|error| wrong(&error))?;
            Ok(DynStore::new(match &globals.prefix {
                Some(prefix) => store.prefix(prefix),
                None => store,
            }))
        }
        Kind::Postgres => {
            let schema = globals.schema.as_deref().map(|name| identifier("--schema", name));
            let mut store = postgres(url, globals.timeout)?;
            if let Some(schema) = schema.transpose()? {
                store = store.schema(schema);
            }
            if let Some(table) = table {
                store = store.table(table);
            }
            Ok(DynStore::new(store))
        }
        Kind::Sqlite(path) => {
            let store = sqlite(Path::new(path), globals.timeout)?;
            Ok(DynStore::new(match table {
                Some(table) => store.table(table),
                None => store,
            }))
        }
    }
}

fn postgres(url: &str, timeout: Duration) -> Result<PostgresStore, Failure> {
    let options: PgConnectOptions = url.parse().map_err(|error: sqlx::Error| {
        let why = std::error::Error::source(&error)
            .map_or_else(|| error.to_string(), ToString::to_string);
        Failure::usage(format!("the URL of the store is wrong: {why}"))
    })?;
    // The text of a statement may contain a response.
    let options = options.application_name("idempotency").disable_statement_logging();
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(timeout);
    Ok(PostgresStore::new(pool.connect_lazy_with(options)))
}

/// `SqliteStore::open` makes a missing file and a missing table. Here a wrong path changes nothing,
/// so the store gets a pool.
fn sqlite(path: &Path, timeout: Duration) -> Result<SqliteStore, Failure> {
    if let Err(error) = std::fs::File::open(path) {
        return Err(Failure::file(path, &error));
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(Duration::ZERO)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging();
    // The store gives up first, and says what it waited for.
    let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(2 * timeout);
    Ok(SqliteStore::with_pool(pool.connect_lazy_with(options)))
}

fn identifier(option: &str, name: &str) -> Result<Identifier, Failure> {
    Identifier::new(name).map_err(|error| Failure::usage(format!("{option}: {error}")))
}

fn wrong(error: &StoreError) -> Failure {
    Failure::usage(format!("the URL of the store is wrong: {}", told(error)))
}

/// Where the records are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind<'a> {
    Redis,
    Postgres,
    Sqlite(&'a str),
}

impl<'a> Kind<'a> {
    fn of(url: &'a str) -> Option<Self> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return (!path.is_empty()).then_some(Self::Sqlite(path));
        }
        let (scheme, _) = url.split_once("://")?;
        match scheme {
            "postgres" | "postgresql" => Some(Self::Postgres),
            "unix" => Some(Self::Redis),
            _ => {
                let family = scheme.split('+').next().unwrap_or(scheme);
                ["redis", "rediss", "valkey", "valkeys"].contains(&family).then_some(Self::Redis)
            }
        }
    }

    /// An option of another store would have no effect.
    fn has_options(self, globals: &Globals) -> Result<(), Failure> {
        let options = [
            ("--prefix", globals.prefix.is_some(), self == Self::Redis, "Redis"),
            ("--schema", globals.schema.is_some(), self == Self::Postgres, "PostgreSQL"),
            ("--table", globals.table.is_some(), self != Self::Redis, "PostgreSQL and SQLite"),
        ];
        match options.into_iter().find(|(_, is_given, has_it, _)| *is_given && !has_it) {
            Some((option, .., stores)) => {
                Err(Failure::usage(format!("{option} is for {stores}, and the store is another")))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_which_store() {
        for url in [
            "redis://h:1",
            "rediss://h",
            "redis+cluster://a:1,b:2",
            "rediss+sentinel://a:1/m",
            "valkey://h",
            "redis+unix:///run/redis",
            "unix:///run/redis",
        ] {
            assert_eq!(Kind::of(url), Some(Kind::Redis), "{url}");
        }
        for url in ["postgres://h/d", "postgresql://h/d"] {
            assert_eq!(Kind::of(url), Some(Kind::Postgres), "{url}");
        }
        assert_eq!(Kind::of("sqlite:a.db"), Some(Kind::Sqlite("a.db")));
        assert_eq!(Kind::of("sqlite:///var/a.db"), Some(Kind::Sqlite("/var/a.db")));
        for url in ["", "memory", "mysql://h", "sqlite:", "sqlite://", "a.db"] {
            assert_eq!(Kind::of(url), None, "{url}");
        }
    }
}
