//! Conflicts in the errors of the database driver.

use std::any::Any;
use std::error::Error;

use sqlx::error::DatabaseError;

use super::Conflict;
use crate::store::sql::tx::TxError;

const SQLITE_BUSY: u32 = 5;

impl Conflict {
    /// Whether an error says that another transaction was in the way: a serialization failure
    /// (40001) or a deadlock (40P01) of PostgreSQL, or `SQLITE_BUSY` with any of its extended
    /// codes, such as `SQLITE_BUSY_SNAPSHOT`.
    ///
    /// A statement that a timeout has ended is not a conflict (`lock_timeout`, 55P03;
    /// `statement_timeout` or a cancel request, 57014): the same lock may be held for long. It is
    /// an error like any other, and the attempt fails.
    pub fn of(error: &sqlx::Error) -> Option<Self> {
        error.as_database_error().is_some_and(has_code_of_conflict).then_some(Self)
    }
}

fn has_code_of_conflict(error: &(impl DatabaseError + ?Sized)) -> bool {
    error.code().is_some_and(|code| match code.len() {
        // A SQLSTATE has five characters; a code of SQLite is a number below 10,000.
        5 => matches!(&*code, "40001" | "40P01"),
        _ => code.parse::<u32>().is_ok_and(|code| code & 0xff == SQLITE_BUSY),
    })
}

/// The error of a database, if this is one.
pub(super) fn as_error(any: &dyn Any) -> Option<&(dyn Error + 'static)> {
    match any.downcast_ref::<TxError>() {
        Some(error) => Some(error),
        None => any.downcast_ref::<sqlx::Error>().map(|error| error as _),
    }
}

pub(super) fn is_conflict(error: &(dyn Error + 'static)) -> bool {
    let of_handler = error.downcast_ref().map(TxError::get_ref);
    if let Some(error) = of_handler.or_else(|| error.downcast_ref()) {
        return Conflict::of(error).is_some();
    }
    // A transparent error of an application has the source of its `sqlx::Error`, and not that.
    let error = error.downcast_ref::<Box<dyn DatabaseError>>();
    error.is_some_and(|error| has_code_of_conflict(&**error))
}
