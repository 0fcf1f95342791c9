//! The table: its text, and how it comes to be there.

use std::fmt;

use ::sqlx::{AssertSqlSafe, Row as _};

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
        let look = include_str!("layout.sql").replace("{records}", &self.names.to_string());
        let found = ::sqlx::raw_sql(AssertSqlSafe(look))
            .fetch_one(&mut *connection)
            .await
            .map_err(unreached)?;
        if found.try_get("is_there").map_err(unreached)? {
            let says: Option<String> = found.try_get("says").map_err(unreached)?;
            return check(says.unwrap_or_default());
        }
        let create = ::sqlx::raw_sql(AssertSqlSafe(self.migration()));
        create.execute(&mut *connection).await.map(drop).map_err(unreached)
    }
}

fn check(says: String) -> Result<(), StoreError> {
    if says == VERSION {
        return Ok(());
    }
    let why = if says.starts_with(OURS) { Unusable::OtherVersion(says) } else { Unusable::NotOurs };
    Err(StoreError::with_source(StoreErrorKind::Configuration, why))
}

/// Why a table that is there is not used.
#[derive(Debug)]
enum Unusable {
    OtherVersion(String),
    NotOurs,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherVersion(says) => {
                write!(
                    f,
                    "the table of the records is that of {says:?}, and this process knows {VERSION:?}: \
                     use the version of the crate that made it, drop it, or use another table"
                )
            }
            Self::NotOurs => {
                write!(f, "there is a table of that name without the comment {VERSION:?}")
            }
        }
    }
}

impl std::error::Error for Unusable {}
