//! What an operator should know about a PostgreSQL server.

use std::time::Duration;

use ::sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::PostgresStore;
use super::error::{store_error, unreached};
use crate::store::StoreError;
use crate::store::check::{
    CheckItem, DURABILITY, EVICTION, PERMISSIONS, REPLICAS, TLS, clock, swept,
};

const GRANTS: &str = "grant SELECT, INSERT, UPDATE and DELETE on the table of records to the role of \
                      the service, and nothing to other roles";

impl PostgresStore {
    pub(super) async fn look_around(&self) -> Result<Vec<CheckItem>, StoreError> {
        self.connect().await?;
        // Not by the pool itself, which may wait for longer than the store timeout.
        let mut connection = self.pool.acquire().await.map_err(unreached)?;
        self.found_layout(&mut connection).await?;
        let look = include_str!("check.sql").replace("{records}", &self.names.to_string());
        let row = ::sqlx::raw_sql(AssertSqlSafe(look))
            .fetch_one(&mut *connection)
            .await
            .map_err(store_error)?;
        let now: i64 = row.try_get("now").map_err(store_error)?;
        let commit: String = row.try_get("synchronous_commit").map_err(store_error)?;
        let is_left: bool = row.try_get("is_left").map_err(store_error)?;
        let is_encrypted: bool = row.try_get("is_encrypted").map_err(store_error)?;
        let is_local: bool = row.try_get("is_local").map_err(store_error)?;
        let tls = match (is_encrypted, is_local) {
            (true, _) => "on",
            (false, true) => "off, and the connection stays on this machine",
            (false, false) => "off",
        };
        Ok(vec![
            clock::compare(Duration::from_micros(now.unsigned_abs())),
            DURABILITY
                .remedy("set `synchronous_commit = on`")
                .found(commit != "off", format!("synchronous_commit is {commit}")),
            EVICTION.not_applicable(),
            swept(is_left),
            TLS.remedy("set `sslmode=verify-full` (feature `postgres-tls-rustls`)")
                .found(is_encrypted || is_local, tls),
            PERMISSIONS.remedy(GRANTS).unseen(),
            REPLICAS.remedy("set `synchronous_standby_names` if there are replicas").unseen(),
        ])
    }

    /// Connects outside of the pool, which does not say why it has no connection.
    async fn connect(&self) -> Result<(), StoreError> {
        let options = self.pool.inner.connect_options();
        let failed = |error| {
            let (host, port) = (options.get_host(), options.get_port());
            unreached(error).at(format_args!("cannot connect to PostgreSQL at {host}:{port}"))
        };
        let connection = PgConnection::connect_with(&options).await.map_err(failed)?;
        // The server ends it all the same.
        drop(connection.close().await);
        Ok(())
    }
}
