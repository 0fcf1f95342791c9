//! Reads a record from a row, and writes times as SQLite reads them.

use std::time::Duration;

use bytes::Bytes;
use sqlx::Row as _;
use sqlx::error::UnexpectedNullError;
use sqlx::sqlite::SqliteRow;

use super::error::store_error;
use crate::record::frame::DecodeError;
use crate::record::key::StorageKey;
use crate::store::operator::{AuditEntry, RecordInfo, Stats};
use crate::store::sql::listing::Listed;
use crate::store::sql::table::{
    EntryRow, InfoRow, ResponseColumns, Row, StatsRow, unreadable_entry,
};
use crate::store::{Lease, Record, StoreError, StoreErrorKind, millis};

/// Reads a row of `find.sql`.
pub(super) fn record(found: &SqliteRow) -> Result<Record, StoreError> {
    let row = row(found).map_err(store_error)?;
    row.record().map_err(malformed)
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

/// Describes the record in a row of `info.sql`.
pub(super) fn info(row: &SqliteRow) -> Result<RecordInfo, StoreError> {
    info_columns(row).map_err(store_error)?.info().map_err(malformed)
}

/// The same, with its place in a list. A record that cannot be read is left out, and logged, so
/// that the others are found.
pub(super) fn listed(row: &SqliteRow) -> Result<Listed, StoreError> {
    let key: Vec<u8> = row.try_get("key").map_err(store_error)?;
    let key = StorageKey::from_bytes(key.try_into().map_err(|_| malformed(DecodeError))?);
    let place = row.try_get("place").map_err(store_error)?;
    let info = info(row).inspect_err(|error| {
        tracing::warn!(%key, %error, "record left out of a list: it cannot be read");
    });
    Ok((place, key, info.ok()))
}

fn info_columns(row: &SqliteRow) -> Result<InfoRow, sqlx::Error> {
    Ok(InfoRow {
        key: row.try_get("key")?,
        status: row.try_get("status")?,
        attempt: row.try_get("attempt")?,
        token: row.try_get("token")?,
        fingerprint: row.try_get("fingerprint")?,
        lapsed: row.try_get("lapsed")?,
        response_status: row.try_get("response_status")?,
        response_missing: row.try_get("response_missing")?,
        bytes: row.try_get("bytes")?,
        namespace: row.try_get("namespace")?,
        route: row.try_get("route")?,
        scope: row.try_get("scope")?,
        reserved_ago: row.try_get("reserved_ago")?,
        changed_ago: row.try_get("changed_ago")?,
        expires_in: row.try_get("expires_in")?,
    })
}

/// Reads a row of `history.sql`. An entry that cannot be read is left out, and logged, so that it
/// does not hide the record.
pub(super) fn entry(row: &SqliteRow) -> Option<AuditEntry> {
    let columns = || {
        Ok(EntryRow {
            id: row.try_get("id")?,
            at: row.try_get("at")?,
            action: row.try_get("action")?,
            by: row.try_get("by")?,
            reason: row.try_get("reason")?,
            was: row.try_get("was")?,
            attempt: row.try_get("attempt")?,
        })
    };
    let entry = columns().map_err(store_error).and_then(|row| row.entry().map_err(malformed));
    entry.inspect_err(unreadable_entry).ok()
}

/// Adds a row of `stats.sql`.
pub(super) fn count(row: &SqliteRow, stats: &mut Stats) -> Result<(), StoreError> {
    let columns = || {
        Ok(StatsRow {
            state: row.try_get("state")?,
            again: row.try_get("again")?,
            records: row.try_get("records")?,
            bytes: row.try_get("bytes")?,
            oldest: row.try_get("oldest")?,
        })
    };
    columns().map_err(store_error)?.add_to(stats).map_err(malformed)
}

fn malformed(malformed: DecodeError) -> StoreError {
    StoreError::with_source(StoreErrorKind::Corrupt, malformed)
}

/// A time before now, in the words of SQLite.
pub(super) fn ago(duration: Duration) -> String {
    from_now(duration).replace('+', "-")
}

/// A time from now on, in the words of SQLite.
pub(super) fn from_now(duration: Duration) -> String {
    later_by(millis(duration))
}

/// The time at which a renewed lease lapses.
pub(super) fn lapse_of(lease: &Lease) -> String {
    later_by(lease.lease_millis())
}

fn later_by(millis: usize) -> String {
    format!("+{}.{:03} seconds", millis / 1000, millis % 1000)
}
