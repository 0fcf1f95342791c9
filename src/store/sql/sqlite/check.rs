//! What an operator should know about a file of SQLite.

use sqlx::Row as _;

use super::SqliteStore;
use super::error::store_error;
use crate::store::check::{
    CLOCK, CheckItem, DEAD_CLIENTS, DURABILITY, EVICTION, PERMISSIONS, REPLICAS, SERVER, TLS, swept,
};
use crate::store::{StoreError, StoreErrorKind};

impl SqliteStore {
    pub(super) async fn look_around(&self) -> Result<Vec<CheckItem>, StoreError> {
        let row = self.read(&self.wait(), sqlx::query(self.statements.check.clone())).await?;
        let row = row.ok_or_else(|| StoreError::new(StoreErrorKind::Corrupt))?;
        let is_left: bool = row.try_get("is_left").map_err(store_error)?;
        // 2 is FULL. With 1 (NORMAL), a loss of power can undo the latest commits.
        let synchronous: i64 = row.try_get("synchronous").map_err(store_error)?;
        let version: String = row.try_get("version").map_err(store_error)?;
        Ok(vec![
            SERVER.found(true, format!("SQLite {version}, in this process")),
            CLOCK.found(true, "the clock of this machine"),
            DURABILITY
                .remedy("set `PRAGMA synchronous = FULL` on the connections of the pool")
                .found(synchronous >= 2, format!("PRAGMA synchronous is {synchronous}")),
            EVICTION.not_applicable(),
            swept(is_left),
            DEAD_CLIENTS.not_applicable(),
            TLS.not_applicable(),
            PERMISSIONS
                .remedy("let only the user of the service read and write the file and its folder")
                .unseen(),
            REPLICAS.not_applicable(),
        ])
    }
}
