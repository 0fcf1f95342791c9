//! The table of the records: how it is made, and which version of its layout a file has.

use sqlx::{Connection as _, SqliteConnection};

use super::SqliteStore;
use super::error::store_error;
use super::statements::Statements;
use super::wait::Wait;
use crate::store::{StoreError, StoreErrorKind};

/// The version of the layout that this crate reads and writes.
const VERSION: i64 = 3;
/// The version that `migrate` adds columns to.
const UPGRADED: i64 = 2;

impl SqliteStore {
    /// Makes the table, if there is none, with its audit and its view. Any number of processes may
    /// call it at the same time. A table of layout 2 gets the columns that it lacks, which takes no
    /// longer for many records.
    ///
    /// [`open`](Self::open) does it by itself. A file whose table is up to date is only read.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Configuration`] if another version of this crate has made the table, with
    /// another layout. It is left as it is. The [module](super) says what to do with an older one.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.make_table().await.map_err(|error| self.named(error))
    }

    pub(super) async fn make_table(&self) -> Result<(), StoreError> {
        let wait = self.wait();
        // A statement that got BUSY was not carried out, or is rolled back.
        while let Err(error) = self.try_migrate(&wait).await {
            wait.pause(error).await?;
        }
        Ok(())
    }

    async fn try_migrate(&self, wait: &Wait) -> Result<(), StoreError> {
        let mut connection = wait.connection(&self.reading).await?;
        let is_done = self.is_up_to_date(&mut connection).await?;
        drop(connection);
        if is_done {
            return Ok(());
        }
        let mut connection = wait.connection(&self.writing).await?;
        // One process after another. The second one finds it done.
        let mut transaction =
            connection.begin_with("BEGIN IMMEDIATE").await.map_err(store_error)?;
        if self.is_up_to_date(&mut transaction).await? {
            return Ok(());
        }
        let statements = &self.statements;
        let is_older = version(&mut transaction, statements).await? == Some(UPGRADED);
        let upgrade = is_older.then(|| statements.upgrade.clone());
        let index = self.has_operator_index.then(|| statements.operator_index.clone());
        for text in upgrade.into_iter().chain([statements.layout.clone()]).chain(index) {
            sqlx::raw_sql(text).execute(&mut *transaction).await.map_err(store_error)?;
        }
        transaction.commit().await.map_err(store_error)
    }

    /// Whether there is nothing to make. It is an error if another version has made the table.
    async fn is_up_to_date(&self, connection: &mut SqliteConnection) -> Result<bool, StoreError> {
        let statements = &self.statements;
        match version(connection, statements).await? {
            None | Some(UPGRADED) => Ok(false),
            Some(version) => {
                known(version)?;
                Ok(!self.has_operator_index
                    || is_there(connection, "index", &statements.operators).await?)
            }
        }
    }

    /// The statements that [`migrate`](Self::migrate) runs, if you make your tables by hand. They
    /// change nothing when they are run again. They do not upgrade a table of layout 2, because
    /// SQLite cannot add a column only where it is missing: `migrate` does that.
    pub fn migration(&self) -> String {
        let index =
            if self.has_operator_index { self.statements.operator_index.as_str() } else { "" };
        format!("BEGIN IMMEDIATE;\n{}{index}COMMIT;\n", self.statements.layout.as_str())
    }
}

async fn version(
    connection: &mut SqliteConnection,
    statements: &Statements,
) -> Result<Option<i64>, StoreError> {
    if !is_there(connection, "table", &statements.version_table).await? {
        return Ok(None);
    }
    let version = sqlx::query_scalar(statements.version.clone()).fetch_optional(connection);
    version.await.map_err(store_error)
}

async fn is_there(
    connection: &mut SqliteConnection,
    what: &str,
    name: &str,
) -> Result<bool, StoreError> {
    let is_there = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = ?1 AND name = ?2 COLLATE NOCASE)",
    );
    is_there.bind(what).bind(name).fetch_one(connection).await.map_err(store_error)
}

fn known(version: i64) -> Result<(), StoreError> {
    if version == VERSION {
        return Ok(());
    }
    Err(StoreError::new(StoreErrorKind::Configuration).detail(format!(
        "the table has version {version} of its layout, and this crate knows version {VERSION}: \
         use the version of the crate that made it, drop it, or use another table"
    )))
}
