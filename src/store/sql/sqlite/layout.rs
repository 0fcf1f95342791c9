//! The table of the records: how it is made, and which version of its layout a file has.

use sqlx::{Connection as _, SqliteConnection};

use super::SqliteStore;
use super::error::store_error;
use super::statements::Statements;
use super::wait::Wait;
use crate::store::{StoreError, StoreErrorKind};

/// The version of the layout that this crate reads and writes.
const VERSION: i64 = 2;

impl SqliteStore {
    /// Makes the table, if there is none. Any number of processes may call it at the same time.
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
        let version = version(&mut connection, &self.statements).await?;
        drop(connection);
        if let Some(version) = version {
            return known(version);
        }
        let mut connection = wait.connection(&self.writing).await?;
        // One process after another. The second one finds it done.
        let mut transaction =
            connection.begin_with("BEGIN IMMEDIATE").await.map_err(store_error)?;
        let layout = self.statements.layout.clone();
        sqlx::raw_sql(layout).execute(&mut *transaction).await.map_err(store_error)?;
        if let Some(version) = self::version(&mut transaction, &self.statements).await? {
            known(version)?;
        }
        transaction.commit().await.map_err(store_error)
    }

    /// The statements that [`migrate`](Self::migrate) runs, if you make your tables by hand. They
    /// change nothing when they are run again.
    pub fn migration(&self) -> String {
        format!("BEGIN IMMEDIATE;\n{}COMMIT;\n", self.statements.layout.as_str())
    }
}

async fn version(
    connection: &mut SqliteConnection,
    statements: &Statements,
) -> Result<Option<i64>, StoreError> {
    let is_there = sqlx::query_scalar::<_, bool>(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE)",
    )
    .bind(&statements.version_table)
    .fetch_one(&mut *connection);
    if !is_there.await.map_err(store_error)? {
        return Ok(None);
    }
    let version = sqlx::query_scalar(statements.version.clone()).fetch_optional(connection);
    version.await.map_err(store_error)
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
