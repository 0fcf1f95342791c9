//! What an operator should know about a file of SQLite.

use sqlx::Row as _;

use super::SqliteStore;
use super::error::store_error;
use crate::store::check::{CLOCK, CheckItem, DURABILITY, EVICTION, SWEEP, TLS};
use crate::store::{StoreError, StoreErrorKind};

impl SqliteStore {
    pub(super) async fn look_around(&self) -> Result<Vec<CheckItem>, StoreError> {
        let row = self.read(&self.wait(), sqlx::query(self.statements.check.clone())).await?;
        let row = row.ok_or_else(|| StoreError::new(StoreErrorKind::Corrupt))?;
        let is_left: bool = row.try_get("is_left").map_err(store_error)?;
        // 2 is FULL. With 1 (NORMAL), a loss of power can undo the latest commits.
        let synchronous: i64 = row.try_get("synchronous").map_err(store_error)?;
        let left =
            if is_left { "records are left that expired an hour ago" } else { "no record is left" };
        Ok(vec![
            CLOCK.found(true, "the clock of this machine"),
            DURABILITY.found(synchronous >= 2, format!("PRAGMA synchronous is {synchronous}")),
            EVICTION.found(true, "SQLite evicts nothing"),
            SWEEP.found(!is_left, left),
            TLS.found(true, "the store is a file of this machine"),
        ])
    }
}
