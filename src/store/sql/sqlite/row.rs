//! Reads a record from a row, and writes times as SQLite reads them.

use std::time::Duration;

use bytes::Bytes;
use sqlx::Row as _;
use sqlx::error::UnexpectedNullError;
use sqlx::sqlite::SqliteRow;

use super::error::store_error;
use crate::store::sql::table::{ResponseColumns, Row};
use crate::store::{Record, StoreError, StoreErrorKind, millis};

/// Reads a row of `find.sql`.
pub(super) fn record(found: &SqliteRow) -> Result<Record, StoreError> {
    let row = row(found).map_err(store_error)?;
    row.record().map_err(|malformed| StoreError::with_source(StoreErrorKind::Corrupt, malformed))
}

fn row(found: &SqliteRow) -> Result<Row, sqlx::Error> {
    // As an `i32` the driver would read the lower half of any number.
    let status: Option<i64> = found.try_get("response_status")?;
    let status =
        status.map(i32::try_from).transpose().map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Row {
        status: found.try_get("status")?,
        attempt: found.try_get("attempt")?,
        token: found.try_get("token")?,
        fingerprint: found.try_get("fingerprint")?,
        lapsed: found.try_get("lapsed")?,
        response: status.map(|status| response(found, status)).transpose()?,
    })
}

fn response(found: &SqliteRow, status: i32) -> Result<ResponseColumns, sqlx::Error> {
    let headers: Option<Vec<u8>> = found.try_get("response_headers")?;
    let trailers: Option<Vec<u8>> = found.try_get("response_trailers")?;
    let body: Option<Vec<u8>> = found.try_get("response_body")?;
    Ok(ResponseColumns {
        status,
        headers: headers.ok_or_else(|| sqlx::Error::Decode(UnexpectedNullError.into()))?.into(),
        trailers: trailers.map(Bytes::from),
        request_id: found.try_get("response_request_id")?,
        missing: found.try_get("response_missing")?,
        body: body.map(Bytes::from),
    })
}

/// A time from now on, in the words of SQLite.
pub(super) fn from_now(duration: Duration) -> String {
    let millis = millis(duration);
    format!("+{}.{:03} seconds", millis / 1000, millis % 1000)
}
