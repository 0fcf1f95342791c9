//! An error of a database as it may be logged: without the texts that can quote a value.

use std::{error, fmt};

use sqlx::Error;
use sqlx::error::DatabaseError;

/// An error of the driver. It shows the code, the constraint and the table. The text of the
/// database can quote what a client has sent, so it is not shown: neither here nor as a source.
pub(super) struct SqlError(pub(super) Error);

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Error::Database(error) => describe(&**error, f),
            Error::ColumnDecode { index, .. } => write!(f, "column {index} cannot be decoded"),
            Error::Decode(_) => f.write_str("a value cannot be decoded"),
            Error::Encode(_) | Error::InvalidArgument(_) => {
                f.write_str("a value cannot be encoded")
            }
            // These are about the connection, the pool and the names of columns and types.
            error @ (Error::Io(_)
            | Error::Tls(_)
            | Error::Protocol(_)
            | Error::Configuration(_)
            | Error::RowNotFound
            | Error::TypeNotFound { .. }
            | Error::ColumnIndexOutOfBounds { .. }
            | Error::ColumnNotFound(_)
            | Error::PoolTimedOut
            | Error::PoolClosed
            | Error::WorkerCrashed
            | Error::InvalidSavePointStatement
            | Error::BeginFailed) => error.fmt(f),
            _ => f.write_str("the driver of the database failed"),
        }
    }
}

fn describe(error: &dyn DatabaseError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let code = error.code().unwrap_or_default();
    // A SQLSTATE has five characters; a code of SQLite is a number below 10,000.
    match code.parse::<usize>().ok().filter(|_| code.len() < 5) {
        Some(number) => {
            write!(f, "SQLite: {} ({number})", RESULTS.get(number & 0xff).unwrap_or(&"error"))?;
        }
        None => write!(f, "SQLSTATE {code}")?,
    }
    if let Some(constraint) = error.constraint() {
        write!(f, ", constraint {constraint}")?;
    }
    if let Some(table) = error.table() {
        write!(f, ", table {table}")?;
    }
    Ok(())
}

/// What the result codes of SQLite mean. Extended codes add to a code above its lowest eight bits.
const RESULTS: [&str; 27] = [
    "no error",
    "a table or column is missing, or the statement is out of place",
    "internal error",
    "permission denied",
    "aborted",
    "busy",
    "locked",
    "out of memory",
    "read-only",
    "interrupted",
    "disk I/O error",
    "damaged file",
    "not found",
    "full",
    "unable to open the file",
    "locking protocol",
    "empty",
    "the schema has changed",
    "too big",
    "constraint violated",
    "type mismatch",
    "misuse",
    "no large files",
    "not authorized",
    "format error",
    "out of range",
    "not a database",
];

impl fmt::Debug for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl error::Error for SqlError {}
