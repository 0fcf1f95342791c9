//! What the driver's errors mean for the store.

use std::error::Error;
use std::iter::successors;

use sqlx::error::DatabaseError;

use super::super::tx::lost;
use super::super::{ErrorKind, StoreError};

/// Result codes of SQLite, without what their extended forms add.
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const IO: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const TOO_BIG: i32 = 18;
    pub(super) const CONSTRAINT: i32 = 19;
    pub(super) const MISMATCH: i32 = 20;
    pub(super) const NOT_A_DATABASE: i32 = 26;
}

pub(super) fn store_error(error: sqlx::Error) -> StoreError {
    let kind = match &error {
        sqlx::Error::Database(database) => match code(&**database) {
            // The write may have reached the file before it went wrong.
            Some(code::IO) => ErrorKind::Timeout,
            Some(code::FULL) => ErrorKind::Full,
            Some(code::CORRUPT | code::NOT_A_DATABASE) => ErrorKind::Corrupt,
            Some(code::TOO_BIG | code::CONSTRAINT | code::MISMATCH) => ErrorKind::Rejected,
            // Whatever else SQLite refuses it has rolled back.
            _ => ErrorKind::Unavailable,
        },
        // The thread of the connection may have ended in the middle of its work.
        sqlx::Error::WorkerCrashed => ErrorKind::Timeout,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => ErrorKind::Corrupt,
        _ => ErrorKind::Unavailable,
    };
    StoreError::with_source(kind, error)
}

/// At the commit, a constraint that is violated is one of the handler's tables: those of the
/// records are never deferred.
pub(super) fn not_committed(error: sqlx::Error) -> StoreError {
    if error.as_database_error().and_then(code) != Some(code::CONSTRAINT) {
        return store_error(error);
    }
    lost(
        "a deferred foreign key was violated at COMMIT: `PRAGMA foreign_key_check` before the handler returns lets it \
         respond with a 4xx",
        error,
    )
}

/// Another connection writes, or makes the file ready. What was sent was not carried out.
pub(super) fn is_busy(error: &StoreError) -> bool {
    successors(error.source(), |error| (**error).source())
        .find_map(|error| error.downcast_ref::<sqlx::Error>())
        .and_then(sqlx::Error::as_database_error)
        .and_then(code)
        == Some(code::BUSY)
}

fn code(error: &dyn DatabaseError) -> Option<i32> {
    let extended: i32 = error.code()?.parse().ok()?;
    Some(extended & 0xff)
}
