//! The table: its text, and how it comes to be there.

use ::sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::PostgresStore;
use super::error::{may_not_make, unreached};
use super::named::{Quoted, database};
use crate::store::{StoreError, StoreErrorKind};

/// The comment of a table that this version of the crate uses.
const VERSION: &str = concat!(env!("CARGO_PKG_NAME"), " 3");
/// The comment of a table that `migrate` adds columns to.
const UPGRADED: &str = concat!(env!("CARGO_PKG_NAME"), " 2");
/// What the comment of a table of this crate begins with, whatever its version.
const OURS: &str = concat!(env!("CARGO_PKG_NAME"), " ");

/// What is there.
pub(super) enum Layout {
    Missing,
    /// A table without the columns and the audit of this version.
    Older,
    /// Whether the index for operators is there too.
    Current {
        has_operator_index: bool,
    },
}

/// The end of the name of the index for operators.
const OPERATORS: &str = "_operators";

impl PostgresStore {
    /// The statements that make the table or upgrade an older one, to run by hand or with other migrations: exactly what
    /// [`migrate`](Self::migrate) runs. They change nothing when they are run again.
    pub fn migration(&self) -> String {
        let schema = self.names.schema.as_ref();
        let schema = schema
            .map(|schema| include_str!("schema.sql").replace("{schema}", &schema.to_string()));
        let index = if self.has_operator_index { include_str!("operator_index.sql") } else { "" };
        [include_str!("create.sql"), index]
            .concat()
            .replace("{schema}", &schema.unwrap_or_default())
            .replace("{records}", &self.names.to_string())
            .replace("{audit}", &self.names.audit())
            .replace("{view}", &self.names.view())
            .replace("{index}", &self.names.of_index("_expires_at"))
            .replace("{audit_index}", &self.names.of_index("_audit_expires_at"))
            .replace("{operator_index}", &self.names.of_index(OPERATORS))
    }

    /// Makes the table, if there is none, with its audit and its view. Any number of processes may
    /// call it at once, at each start. If the table is there, it only reads, and needs no right to
    /// create.
    ///
    /// A table of layout 2 gets the columns that it lacks. That takes no longer for many rows, but
    /// it waits for the transactions that have used the table, and requests wait behind it. Set
    /// `lock_timeout` on the connection if some of them are long. Only the owner of the table may do
    /// it.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unavailable`] if the server cannot be reached.
    /// [`StoreErrorKind::Configuration`] if the role may not make the table, or if something else
    /// has its name, such as a table that another version of this crate has made: it is left as it
    /// is.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.try_migrate().await.map_err(|error| self.not_migrated(error))
    }

    async fn try_migrate(&self) -> Result<(), StoreError> {
        // By the simple protocol, because it goes through every pooler, and takes several
        // statements as one transaction.
        let mut connection = self.pool.inner.acquire().await.map_err(unreached)?;
        match self.found_layout(&mut connection).await? {
            Layout::Current { has_operator_index }
                if has_operator_index || !self.has_operator_index =>
            {
                return Ok(());
            }
            Layout::Current { .. } | Layout::Older | Layout::Missing => {}
        }
        let create = ::sqlx::raw_sql(AssertSqlSafe(self.migration()));
        create.execute(&mut *connection).await.map(drop).map_err(unreached)
    }

    /// To make the table, a role needs other rights than to use it.
    fn not_migrated(&self, error: StoreError) -> StoreError {
        if !may_not_make(&error) {
            return self.named(error);
        }
        let options = self.pool.inner.connect_options();
        let role = Quoted(options.get_username());
        let (what, schema) = match &self.names.schema {
            Some(schema) => {
                let database = database(&options);
                (
                    format!(
                        "GRANT CREATE ON DATABASE {database} TO {role} to make the schema, and \
                          "
                    ),
                    schema.to_string(),
                )
            }
            None => (String::new(), "public".to_owned()),
        };
        error.detail(format!(
            "the role {role} may not make the table {}: {what}GRANT USAGE, CREATE ON SCHEMA {schema} \
             TO {role}, or run the statements of `PostgresStore::migration` as another role; an \
             older table is upgraded by its owner",
            self.names,
        ))
    }

    /// What is there. It is an error if that is neither of this version nor of one before.
    pub(super) async fn found_layout(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Layout, StoreError> {
        let look = include_str!("layout.sql")
            .replace("{records}", &self.names.to_string())
            .replace("{operator_index}", &format!("{}{OPERATORS}", self.names.table.as_str()));
        let found =
            ::sqlx::raw_sql(AssertSqlSafe(look)).fetch_one(connection).await.map_err(unreached)?;
        let is_there: bool = found.try_get("is_there").map_err(unreached)?;
        if !is_there {
            return Ok(Layout::Missing);
        }
        let says: Option<String> = found.try_get("says").map_err(unreached)?;
        if says.as_deref() == Some(UPGRADED) {
            return Ok(Layout::Older);
        }
        known(&says.unwrap_or_default())?;
        let indexed: Option<bool> = found.try_get("indexed").map_err(unreached)?;
        match indexed {
            Some(false) if self.has_operator_index => Err(self.invalid_index()),
            indexed => Ok(Layout::Current { has_operator_index: indexed.is_some() }),
        }
    }

    /// One that `CREATE INDEX CONCURRENTLY` has left behind is written and never read.
    fn invalid_index(&self) -> StoreError {
        let index = self.names.of_index(OPERATORS);
        StoreError::new(StoreErrorKind::Configuration).detail(format!(
            "the index {index} is not valid: it is still being made, or that has failed; then DROP \
             INDEX it, and make it again"
        ))
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
