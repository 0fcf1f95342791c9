//! The table: its text, and how it comes to be there.

use ::sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::PostgresStore;
use super::error::unreached;
use crate::store::{StoreError, StoreErrorKind};

/// The comment of a table that this version of the crate uses.
const VERSION: &str = concat!(env!("CARGO_PKG_NAME"), " 2");
/// What the comment of a table of this crate begins with, whatever its version.
const OURS: &str = concat!(env!("CARGO_PKG_NAME"), " ");

impl PostgresStore {
    /// The statements that make the table, to run by hand or with other migrations: exactly what
    /// [`migrate`](Self::migrate) runs. They change nothing when they are run again.
    pub fn migration(&self) -> String {
        let schema = self.names.schema.as_ref();
        let schema = schema
            .map(|schema| include_str!("schema.sql").replace("{schema}", &schema.to_string()));
        include_str!("create.sql")
            .replace("{schema}", &schema.unwrap_or_default())
            .replace("{records}", &self.names.to_string())
            .replace("{index}", &format!("\"{}_expires_at\"", self.names.table.as_str()))
    }

    /// Makes the table, if there is none. Any number of processes may call it at once, at each
    /// start. If the table is there, it only reads, and needs no right to create.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unavailable`] if the server cannot be reached.
    /// [`StoreErrorKind::Configuration`] if the role may not make the table, or if something else
    /// has its name, such as a table that another version of this crate has made: it is left as it
    /// is.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        // By the simple protocol, because it goes through every pooler, and takes several
        // statements as one transaction.
        let mut connection = self.pool.inner.acquire().await.map_err(unreached)?;
        if self.found_layout(&mut connection).await? {
            return Ok(());
        }
        let create = ::sqlx::raw_sql(AssertSqlSafe(self.migration()));
        create.execute(&mut *connection).await.map(drop).map_err(unreached)
    }

    /// Whether the table is there. It is an error if it is not of this version.
    pub(super) async fn found_layout(
        &self,
        connection: &mut PgConnection,
    ) -> Result<bool, StoreError> {
        let look = include_str!("layout.sql").replace("{records}", &self.names.to_string());
        let found =
            ::sqlx::raw_sql(AssertSqlSafe(look)).fetch_one(connection).await.map_err(unreached)?;
        let is_there: bool = found.try_get("is_there").map_err(unreached)?;
        if is_there {
            let says: Option<String> = found.try_get("says").map_err(unreached)?;
            known(&says.unwrap_or_default())?;
        }
        Ok(is_there)
    }
}

fn known(says: &str) -> Result<(), StoreError> {
    if says == VERSION {
        return Ok(());
    }
    let why = if says.starts_with(OURS) {
        format!(
            "the table of the records is that of {says:?}, and this process knows {VERSION:?}: use \
             the version of the crate that made it, drop it, or use another table"
        )
    } else {
        format!("there is a table of that name without the comment {VERSION:?}: use another name")
    };
    Err(StoreError::new(StoreErrorKind::Configuration).detail(why))
}
