//! What the driver's errors mean for the store.

use std::error::Error;
use std::iter::successors;

use sqlx::error::DatabaseError;

use crate::store::sql::error::SqlError;
use crate::store::sql::tx::lost;
use crate::store::{StoreError, StoreErrorKind};

/// Result codes of SQLite, without what their extended forms add.
mod code {
    pub(super) const ERROR: i32 = 1;
    pub(super) const PERM: i32 = 3;
    pub(super) const BUSY: i32 = 5;
    pub(super) const NO_MEMORY: i32 = 7;
    pub(super) const READ_ONLY: i32 = 8;
    pub(super) const IO: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANNOT_OPEN: i32 = 14;
    pub(super) const TOO_BIG: i32 = 18;
    pub(super) const CONSTRAINT: i32 = 19;
    pub(super) const MISMATCH: i32 = 20;
    pub(super) const NO_LARGE_FILES: i32 = 22;
    pub(super) const AUTH: i32 = 23;
    pub(super) const NOT_A_DATABASE: i32 = 26;
}

/// `SQLITE_IOERR_SHMSIZE`: the file with the index of the log cannot grow. So a full disk shows
/// there.
const IO_SHM_SIZE: i32 = 4874;

pub(super) fn store_error(error: sqlx::Error) -> StoreError {
    let kind = match &error {
        sqlx::Error::Database(database) => kind(&**database),
        // The thread of the connection may have ended in the middle of its work.
        sqlx::Error::WorkerCrashed => StoreErrorKind::Timeout,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => StoreErrorKind::Corrupt,
        sqlx::Error::Encode(_) => StoreErrorKind::Rejected,
        sqlx::Error::Configuration(_) => StoreErrorKind::Configuration,
        _ => StoreErrorKind::Unavailable,
    };
    let advice = error.as_database_error().and_then(advice);
    StoreError::with_source(kind, SqlError(error)).advised(advice)
}

/// Any other error is an outage, which may open a layer. So clients must not be able to cause it.
fn kind(error: &dyn DatabaseError) -> StoreErrorKind {
    let Some(extended) = extended_code(error) else { return StoreErrorKind::Unavailable };
    match extended & 0xff {
        _ if extended == IO_SHM_SIZE => StoreErrorKind::Full,
        // The write may have reached the file before it went wrong.
        code::IO => StoreErrorKind::Timeout,
        code::FULL | code::NO_MEMORY => StoreErrorKind::Full,
        code::CORRUPT | code::NOT_A_DATABASE => StoreErrorKind::Corrupt,
        code::TOO_BIG | code::CONSTRAINT | code::MISMATCH | code::NO_LARGE_FILES => {
            StoreErrorKind::Rejected
        }
        // The statements of the store are always the same. A process that may open no more files
        // cannot open this one.
        code::ERROR | code::PERM | code::READ_ONLY | code::AUTH | code::CANNOT_OPEN => {
            StoreErrorKind::Configuration
        }
        _ => StoreErrorKind::Unavailable,
    }
}

/// What to do about an error that only an operator can mend.
fn advice(error: &dyn DatabaseError) -> Option<&'static str> {
    Some(match code(error)? {
        // A statement that is out of place has the same code.
        code::ERROR if error.message().starts_with("no such table") => {
            "the table of the records or its audit is missing: `SqliteStore::migrate` has not been run on this file"
        }
        code::ERROR if error.message().contains("column") => {
            "the table of the records has other columns: `SqliteStore::migrate` of this version has not been run"
        }
        code::READ_ONLY => "the file or its directory takes no writes: check their permissions",
        code::NOT_A_DATABASE => "the file is not one of SQLite, or is damaged or encrypted",
        code::CANNOT_OPEN => {
            "the file cannot be opened: check its path, its permissions and the limit of open files"
        }
        _ => return None,
    })
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

/// Another connection writes, or makes the file ready. The statement was not carried out.
pub(super) fn is_busy(error: &StoreError) -> bool {
    code_of(error) == Some(code::BUSY)
}

/// The file was never one of this store.
pub(super) fn is_no_database(error: &StoreError) -> bool {
    code_of(error) == Some(code::NOT_A_DATABASE)
}

/// The result of SQLite among the sources.
pub(super) fn code_of(error: &StoreError) -> Option<i32> {
    successors(error.source(), |error| (**error).source())
        .find_map(|error| error.downcast_ref::<SqlError>())
        .and_then(|error| error.0.as_database_error())
        .and_then(code)
}

fn code(error: &dyn DatabaseError) -> Option<i32> {
    extended_code(error).map(|extended| extended & 0xff)
}

fn extended_code(error: &dyn DatabaseError) -> Option<i32> {
    error.code()?.parse().ok()
}
