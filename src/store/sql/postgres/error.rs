//! What the driver's errors mean for the store.

use std::error::Error as _;
use std::fmt;
use std::io::ErrorKind;
use std::iter::successors;

use ::sqlx::Error;
use ::sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::store::sql::error::SqlError;
use crate::store::sql::tx::{Lost, lost};
use crate::store::{StoreError, StoreErrorKind};

/// What happened to a statement that failed, and to its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The connection is lost. The statement may have been carried out.
    Lost,
    /// It was not carried out, and would not be on this connection. The server takes no writes any
    /// more, or a prepared statement is gone.
    Stale,
    /// It was not carried out, because others used the same records.
    Conflict,
    /// It was not carried out, or its reply cannot be read.
    Rejected,
}

impl Fate {
    /// Told by codes, never by a text.
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::Io(_) | Error::Protocol(_) | Error::Tls(_) | Error::WorkerCrashed => Self::Lost,
            Error::Database(database) => {
                let server = database.try_downcast_ref::<PgDatabaseError>();
                if server.is_none_or(|error| {
                    matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic)
                }) {
                    return Self::Lost;
                }
                match code(error) {
                    "40003" => Self::Lost,
                    "25006" | "26000" | "42P05" | "0A000" => Self::Stale,
                    "40001" | "40P01" => Self::Conflict,
                    _ => Self::Rejected,
                }
            }
            _ => Self::Rejected,
        }
    }
}

/// The SQLSTATE; empty if it is not the server's error.
fn code(error: &Error) -> &str {
    let server =
        error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    server.map_or("", PgDatabaseError::code)
}

/// What an error of the server means by its SQLSTATE, whether it comes from a statement or while a
/// connection is made. `None`: it tells nothing of what was sent. Then it is an outage, which may
/// open a layer, so clients must not be able to bring it about.
fn kind(code: &str) -> Option<StoreErrorKind> {
    Some(match code {
        // `disk_full`, `out_of_memory`, `configuration_limit_exceeded` and `io_error`: clients can
        // fill a disk.
        "53100" | "53200" | "53400" | "58030" => StoreErrorKind::Full,
        "40001" | "40P01" => StoreErrorKind::Conflict,
        _ => match code.get(..2)? {
            // The data, a constraint, a limit of the server's program: it would reject the same
            // again.
            "22" | "23" | "54" => StoreErrorKind::Rejected,
            // A feature, a prepared statement, the credentials, the database, the schema, and what
            // a statement names or the role may use: the statements of the store are always the
            // same.
            "0A" | "26" | "28" | "3D" | "3F" | "42" => StoreErrorKind::Configuration,
            _ => return None,
        },
    })
}

/// What to do about an error that only an operator can mend.
fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "42P01" | "3F000" => {
            "the table of the records is missing: `PostgresStore::migrate` has not been run on this \
             database and schema"
        }
        "42501" => {
            "the role may not use the database, the schema or the table of the records: grant it what it needs"
        }
        "26000" | "42P05" => {
            "a prepared statement did not stay with its connection: a pooler between needs `persistent(false)`"
        }
        "3D000" => "the database does not exist",
        "25006" => READ_ONLY,
        code if code.starts_with("28") => "the server rejects the credentials",
        _ => return None,
    })
}

/// `lock_not_available`, `query_canceled` and `too_many_connections`: the server replies, and
/// clients may be the cause. Another request with the same key holds a lock until its reservation
/// is committed.
const OF_A_LIVE_SERVER: [&str; 3] = [LOCK_NOT_AVAILABLE, QUERY_CANCELED, "53300"];

fn with_kind(kind: StoreErrorKind, error: Error) -> StoreError {
    let code = code(&error);
    let stays_closed = OF_A_LIVE_SERVER.contains(&code);
    let used_up = || matches!(error, Error::PoolTimedOut).then_some(POOL);
    let advice = advice(code).or_else(|| no_tls(&error)).or_else(used_up);
    let error = StoreError::with_source(kind, SqlError(error)).advised(advice);
    if stays_closed { error.stays_closed() } else { error }
}

/// An error before there was a connection. Nothing was sent, so nothing was carried out.
pub(super) fn unreached(error: Error) -> StoreError {
    let kind = match error {
        Error::Configuration(_) => StoreErrorKind::Configuration,
        _ if no_tls(&error).is_some() => StoreErrorKind::Configuration,
        _ => kind(code(&error)).unwrap_or(StoreErrorKind::Unavailable),
    };
    with_kind(kind, error)
}

/// What to do if the server was reached, and TLS with it failed. That is not an outage, because an
/// operator must mend it.
fn no_tls(error: &Error) -> Option<&'static str> {
    match error {
        // rustls calls everything that it rejects invalid data.
        Error::Io(io) if io.kind() == ErrorKind::InvalidData => Some(UNTRUSTED),
        // A connection that broke has an error of the system among its sources.
        Error::Tls(error) => {
            let mut sources =
                successors(Some(&**error as &(dyn std::error::Error + 'static)), |&error| {
                    error.source()
                });
            (!sources.any(<dyn std::error::Error>::is::<std::io::Error>)).then_some(NO_TLS)
        }
        _ => None,
    }
}

const POOL: &str = "the pool had no connection in time";
const UNTRUSTED: &str = "TLS with the server failed: its certificate must be of an authority of the TLS \
                         feature or of `sslrootcert`, for the host of the URL, and in date";
const NO_TLS: &str = "TLS with the server failed: the server has none, its certificate is not accepted, or a \
                      TLS feature of this crate is missing";

pub(super) fn store_error(error: Error) -> StoreError {
    if Fate::of(&error) == Fate::Lost {
        return StoreError::with_source(StoreErrorKind::Timeout, SqlError(error));
    }
    match error {
        Error::Decode(_)
        | Error::ColumnDecode { .. }
        | Error::ColumnNotFound(_)
        | Error::ColumnIndexOutOfBounds { .. }
        | Error::RowNotFound => StoreError::with_source(StoreErrorKind::Corrupt, SqlError(error)),
        Error::Encode(_) => StoreError::with_source(StoreErrorKind::Rejected, SqlError(error)),
        error => unreached(error),
    }
}

/// The server takes no writes, and may still read. It is read-only, has no space (class 53) or
/// cannot write its files (58), or the role may only read.
pub(super) fn takes_no_writes(error: &StoreError) -> bool {
    let sources = successors(error.source(), |&error| error.source());
    let source = sources.into_iter().find_map(|error| error.downcast_ref::<SqlError>());
    let code = source.map_or("", |error| code(&error.0));
    matches!(code, "25006" | "42501") || ["53", "58"].iter().any(|class| code.starts_with(class))
}

/// Others used the same records.
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
        Fate::Lost | Fate::Stale => unreached(error),
        Fate::Conflict | Fate::Rejected => store_error(error),
    }
}

/// The transaction takes no statement until it is rolled back. A statement of the handler has
/// failed before (`in_failed_sql_transaction`), or this one was cancelled.
pub(super) fn is_aborted(error: &Error) -> bool {
    is_failed_before(error) || matches!(code(error), QUERY_CANCELED | LOCK_NOT_AVAILABLE)
}

/// The statement was not run, because one before it has failed.
pub(super) fn is_failed_before(error: &Error) -> bool {
    code(error) == "25P02"
}

/// A statement was ended by `statement_timeout`, by a cancel request or by the operator.
const QUERY_CANCELED: &str = "57014";
/// A statement was ended by `lock_timeout`.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// The error of a `ROLLBACK`, or of a statement after it. A rejection by the server is final.
/// Without a reply, the result is not known.
pub(super) fn not_ended(error: Error) -> StoreError {
    match Fate::of(&error) {
        Fate::Rejected if is_failed_before(&error) => Lost::Aborted.into(),
        Fate::Rejected if is_full(&error) || is_timeout(&error) => store_error(error),
        Fate::Rejected if kind(code(&error)) == Some(StoreErrorKind::Rejected) => {
            store_error(error)
        }
        Fate::Rejected if error.as_database_error().is_some() => {
            StoreError::with_source(StoreErrorKind::TransactionLost, SqlError(error))
        }
        _ => store_error(error),
    }
}

/// The error of the `COMMIT`. The server checks deferred constraints there.
pub(super) fn not_committed(error: Error) -> StoreError {
    let is_check = Fate::of(&error) == Fate::Rejected && error.as_database_error().is_some();
    if !is_check || is_timeout(&error) || is_full(&error) {
        return not_ended(error);
    }
    lost(
        "a deferred constraint or trigger failed at COMMIT: `SET CONSTRAINTS ALL IMMEDIATE` before the handler \
         returns lets it respond with a 4xx",
        error,
    )
}

/// The error of the write of the response. It runs under the role, the search path and the timeouts
/// that the handler has left.
pub(super) fn not_written(error: Error) -> StoreError {
    let why = match code(&error) {
        "42501" => {
            "the role of the transaction may not write the records: `RESET ROLE` before the handler returns, or grant \
             SELECT, INSERT and UPDATE to the role"
        }
        "42P01" | "3F000" => {
            "the handler has changed `search_path`, and the records are not on it: give the store its schema"
        }
        "25006" => {
            "the handler has made its transaction read only, so the response cannot be stored in it"
        }
        _ => return not_ended(error),
    };
    lost(why, error)
}

/// The server has no memory or disk left.
fn is_full(error: &Error) -> bool {
    kind(code(error)) == Some(StoreErrorKind::Full)
}

/// The server was too slow, or was told to stop. It has rolled back, and a retry may go through.
fn is_timeout(error: &Error) -> bool {
    matches!(code(error), QUERY_CANCELED | LOCK_NOT_AVAILABLE)
}

/// The server takes no writes, so an attempt is not begun.
pub(super) fn read_only() -> StoreError {
    StoreError::with_source(StoreErrorKind::Unavailable, ReadOnly)
}

const READ_ONLY: &str =
    "the server takes no writes: it is a standby, or `default_transaction_read_only` is on";

#[derive(Debug)]
struct ReadOnly;

impl fmt::Display for ReadOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(READ_ONLY)
    }
}

impl std::error::Error for ReadOnly {}
