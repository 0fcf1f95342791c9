//! What an operator should know about a PostgreSQL server.

use std::fmt::Write as _;
use std::time::Duration;

use ::sqlx::postgres::{PgConnectOptions, PgRow};
use ::sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tokio::time::timeout;

use super::PostgresStore;
use super::error::{store_error, unreached};
use super::migration::Layout;
use super::named::{Quoted, RIGHTS, not_connected, of_connection};
use crate::store::check::{
    CheckItem, DEAD_CLIENTS, DURABILITY, EVICTION, PERMISSIONS, REPLICAS, SERVER, TLS, clock, swept,
};
use crate::store::listener::{Protocol, speaks_other};
use crate::store::{StoreError, StoreErrorKind};

const GRANTS: &str = "grant SELECT, INSERT, UPDATE and DELETE on the table of records to the role of \
                      the service, and nothing to other roles";

impl PostgresStore {
    pub(super) async fn look_around(&self) -> Result<Vec<CheckItem>, StoreError> {
        self.connect().await?;
        // Not by the pool itself, which may wait for longer than the store timeout.
        let mut connection = self.pool.acquire().await.map_err(unreached)?;
        match self.found_layout(&mut connection).await? {
            // What is asked next says that there is none.
            Layout::Missing => {}
            Layout::Older => {
                let detail = format!(
                    "the table {} is that of an older version: run `PostgresStore::migrate`",
                    self.names
                );
                return Err(StoreError::new(StoreErrorKind::Configuration).detail(detail));
            }
            Layout::Current { .. } => self.may_use_table(&mut connection).await?,
        }
        let look = include_str!("check.sql").replace("{records}", &self.names.to_string());
        let row = ::sqlx::raw_sql(AssertSqlSafe(look))
            .fetch_one(&mut *connection)
            .await
            .map_err(store_error)?;
        let now: i64 = row.try_get("now").map_err(store_error)?;
        let is_left: bool = row.try_get("is_left").map_err(store_error)?;
        let is_encrypted: bool = row.try_get("is_encrypted").map_err(store_error)?;
        let is_local: bool = row.try_get("is_local").map_err(store_error)?;
        let tls = match (is_encrypted, is_local) {
            (true, _) => "on",
            (false, true) => "off, and the connection stays on this machine",
            (false, false) => "off",
        };
        Ok(vec![
            server(&row).map_err(store_error)?,
            clock::compare(Duration::from_micros(now.unsigned_abs())),
            durability(&row).map_err(store_error)?,
            EVICTION.not_applicable(),
            swept(is_left),
            dead_clients(&row).map_err(store_error)?,
            TLS.remedy("set `sslmode=verify-full` (feature `postgres-tls-rustls`)")
                .found(is_encrypted || is_local, tls),
            PERMISSIONS.remedy(GRANTS).unseen(),
            REPLICAS.remedy("set `synchronous_standby_names` if there are replicas").unseen(),
        ])
    }

    /// Asks for each right that some operation needs, that of the sweeper included.
    async fn may_use_table(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let look = include_str!("rights.sql").replace("{records}", &self.names.to_string());
        let row = ::sqlx::raw_sql(AssertSqlSafe(look)).fetch_one(connection).await;
        let row = row.map_err(store_error)?;
        let mut missing = Vec::new();
        for right in RIGHTS {
            if !row.try_get(right).map_err(store_error)? {
                missing.push(right);
            }
        }
        let role: String = row.try_get("role").map_err(store_error)?;
        if missing.is_empty() { Ok(()) } else { Err(self.forbidden(&role, &missing)) }
    }

    pub(super) fn forbidden(&self, role: &str, missing: &[&str]) -> StoreError {
        let detail = self.not_permitted(&Quoted(role), missing);
        StoreError::new(StoreErrorKind::Configuration).detail(detail)
    }

    /// Connects outside of the pool, which does not say why it has no connection. It is given up
    /// before the caller gives up, to say where nothing replies.
    async fn connect(&self) -> Result<(), StoreError> {
        let options = self.pool.inner.connect_options();
        let bound = self.pool.timeout.get() / 2;
        let failed = match timeout(bound, PgConnection::connect_with(&options)).await {
            Ok(Ok(connection)) => {
                // The server ends it all the same.
                drop(connection.close().await);
                return Ok(());
            }
            Ok(Err(error)) => {
                let detail = of_connection(&error, &options);
                let failed = unreached(error);
                match (detail, other_listener(&options).await) {
                    (Some(detail), _) => failed.detail(detail),
                    (None, Some(other)) => {
                        failed.of_kind(StoreErrorKind::Configuration).detail(other)
                    }
                    (None, None) => failed,
                }
            }
            Err(_) => match other_listener(&options).await {
                Some(other) => StoreError::new(StoreErrorKind::Configuration).detail(other),
                None => StoreError::new(StoreErrorKind::Unavailable).detail(format!(
                    "it did not reply within {bound:?}: check the host, the port and the network"
                )),
            },
        };
        Err(not_connected(failed, &options))
    }
}

fn server(row: &PgRow) -> Result<CheckItem, ::sqlx::Error> {
    let version: &str = row.try_get("version")?;
    let is_supported: bool = row.try_get("is_supported")?;
    let is_standby: bool = row.try_get("is_standby")?;
    let role = if is_standby { "a standby" } else { "the primary" };
    Ok(SERVER.found(is_supported && !is_standby, format!("PostgreSQL {version}, {role}")))
}

/// A commit is on the disk when the server replies, if it is in the log and the log is written. A
/// restart after a crash empties a table that is not in the log.
fn durability(row: &PgRow) -> Result<CheckItem, ::sqlx::Error> {
    let commit: &str = row.try_get("synchronous_commit")?;
    let mut found = format!("synchronous_commit is {commit}");
    let mut is_fine = commit != "off";
    for setting in ["fsync", "full_page_writes"] {
        if row.try_get::<&str, _>(setting)? == "off" {
            is_fine = false;
            let _ = write!(found, ", {setting} is off");
        }
    }
    if row.try_get("is_unlogged")? {
        is_fine = false;
        found += ", the table is UNLOGGED";
    }
    let question = DURABILITY.remedy(
        "set `synchronous_commit`, `fsync` and `full_page_writes` to `on`, and the table to LOGGED",
    );
    Ok(question.found(is_fine, found))
}

/// Either setting is enough, and neither is needed where no lock is held for long.
fn dead_clients(row: &PgRow) -> Result<CheckItem, ::sqlx::Error> {
    let looks_every: &str = row.try_get("looks_every")?;
    let lock_timeout: &str = row.try_get("lock_timeout")?;
    let question = DEAD_CLIENTS.remedy(
        "set `client_connection_check_interval` (PostgreSQL 14) or `lock_timeout` if locks are held \
         for long",
    );
    let found = format!(
        "client_connection_check_interval is {looks_every}, lock_timeout is {lock_timeout}"
    );
    let is_set = looks_every != "0" || lock_timeout != "0";
    Ok(if is_set { question.found(true, found) } else { question.looked(&found) })
}

/// What listens in its place, if that is known.
async fn other_listener(options: &PgConnectOptions) -> Option<String> {
    if options.get_socket().is_some() || options.get_host().starts_with('/') {
        return None;
    }
    let other = speaks_other(options.get_host(), options.get_port(), Protocol::Postgres).await?;
    let other = match other {
        Protocol::Redis => "that of Redis",
        Protocol::Http => "HTTP",
        Protocol::Tls | Protocol::Postgres => "TLS from its first byte",
    };
    Some(format!(
        "what listens there speaks another protocol, {other}: check the host and the port"
    ))
}
