//! What the driver's errors mean for the store.

use std::fmt;

use ::sqlx::Error;
use ::sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::super::tx::Lost;
use super::super::{ErrorKind, StoreError};

/// What became of a statement that came to an error, and of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The connection is lost. Nobody knows whether the statement was carried out.
    Lost,
    /// It was not carried out, and would not be on this connection: it leads to a server that takes no writes any more,
    /// or a statement was prepared that no longer is.
    Stale,
    /// It was not carried out, for others were at the same records.
    Conflict,
    /// It was not carried out, or its answer cannot be read.
    Refused,
}

impl Fate {
    /// Told by codes, never by a text.
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::Io(_) | Error::Protocol(_) | Error::Tls(_) | Error::WorkerCrashed => Self::Lost,
            Error::Database(database) => {
                let server = database.try_downcast_ref::<PgDatabaseError>();
                if server
                    .is_none_or(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
                {
                    return Self::Lost;
                }
                match code(error) {
                    "40003" => Self::Lost,
                    "25006" | "26000" | "42P05" | "0A000" => Self::Stale,
                    "40001" | "40P01" => Self::Conflict,
                    _ => Self::Refused,
                }
            }
            _ => Self::Refused,
        }
    }
}

/// The SQLSTATE; empty if it is not the server's error.
fn code(error: &Error) -> &str {
    let server = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    server.map_or("", PgDatabaseError::code)
}

/// What went wrong before there was a connection. Nothing was sent, so nothing was carried out.
pub(super) fn unreached(error: Error) -> StoreError {
    StoreError::with_source(ErrorKind::Unavailable, error)
}

pub(super) fn store_error(error: Error) -> StoreError {
    if Fate::of(&error) == Fate::Lost {
        return StoreError::with_source(ErrorKind::Timeout, error);
    }
    match error {
        Error::Decode(_)
        | Error::ColumnDecode { .. }
        | Error::ColumnNotFound(_)
        | Error::ColumnIndexOutOfBounds { .. }
        | Error::RowNotFound => StoreError::with_source(ErrorKind::Corrupt, error),
        error => match code(&error) {
            "53100" => StoreError::with_source(ErrorKind::Full, error),
            code if is_rejection(code) => StoreError::with_source(ErrorKind::Rejected, error),
            "42P01" => {
                explained("the table of the records is missing: `migrate` has not been run here", error)
            }
            "26000" | "42P05" => explained(
                "a prepared statement did not stay with its connection: a pooler between needs `unprepared`",
                error,
            ),
            _ => StoreError::with_source(ErrorKind::Unavailable, error),
        },
    }
}

/// The server takes no writes, and may still read: it is read-only, has no room (class 53) or cannot write its files (58),
/// or the role may only read.
pub(super) fn takes_no_writes(error: &StoreError) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Error>());
    let code = source.map_or("", code);
    matches!(code, "25006" | "42501") || ["53", "58"].iter().any(|class| code.starts_with(class))
}

/// What the server would reject again: the data (class 22), a constraint (23), a limit of its
/// program (54).
fn is_rejection(code: &str) -> bool {
    ["22", "23", "54"].iter().any(|class| code.starts_with(class))
}

/// Others were at the same records.
pub(super) fn is_conflict(error: &Error) -> bool {
    Fate::of(error) == Fate::Conflict
}

/// The server has replied, and the connection is sound.
pub(super) fn is_reply(error: &Error) -> bool {
    error.as_database_error().is_some() && Fate::of(error) != Fate::Lost
}

/// Nothing has run yet, so nothing can have taken effect.
pub(super) fn not_begun(error: Error) -> StoreError {
    match Fate::of(&error) {
        Fate::Lost | Fate::Stale => StoreError::with_source(ErrorKind::Unavailable, error),
        Fate::Conflict | Fate::Refused => store_error(error),
    }
}

/// A statement before this one has failed, and so does every one until the transaction is rolled back:
/// `in_failed_sql_transaction`.
pub(super) fn is_aborted(error: &Error) -> bool {
    code(error) == "25P02"
}

/// The server's refusal is final; where there is no answer, nobody knows.
pub(super) fn not_committed(error: Error) -> StoreError {
    match Fate::of(&error) {
        Fate::Conflict => StoreError::with_source(ErrorKind::Conflict, error),
        Fate::Refused if is_aborted(&error) => Lost::Aborted.into(),
        Fate::Refused if error.as_database_error().is_some() => {
            StoreError::with_source(ErrorKind::TransactionLost, error)
        }
        _ => store_error(error),
    }
}

/// As [`not_committed`], where the store itself has sent the write: the handler did not cause its rejection.
pub(super) fn not_written(error: Error) -> StoreError {
    if is_rejection(code(&error)) { store_error(error) } else { not_committed(error) }
}

fn explained(why: &'static str, source: Error) -> StoreError {
    StoreError::with_source(ErrorKind::Unavailable, Explained { why, source })
}

/// An error whose own words do not tell what to do about it.
#[derive(Debug)]
struct Explained {
    why: &'static str,
    source: Error,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why)
    }
}

impl std::error::Error for Explained {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
