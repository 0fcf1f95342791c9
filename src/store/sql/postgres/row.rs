//! Rows as they come, in the binary format or in text.

use ::sqlx::postgres::{PgRow, PgValueFormat};
use ::sqlx::{Decode, Error, Postgres, Row as _, ValueRef as _};

use super::error::store_error;
use crate::record::frame::DecodeError;
use crate::record::key::StorageKey;
use crate::store::operator::{AuditEntry, RecordInfo, Stats};
use crate::store::sql::listing::Listed;
use crate::store::sql::table::{
    EntryRow, InfoRow, ResponseColumns, Row, StatsRow, unreadable_entry,
};
use crate::store::{Record, StoreError, StoreErrorKind, Token};

/// Reads the record in a row.
///
/// # Errors
///
/// [`StoreErrorKind::Corrupt`] if a column contains a value that this crate does not write.
pub(super) fn record(row: &PgRow) -> Result<Record, StoreError> {
    columns(row).map_err(store_error)?.record().map_err(malformed)
}

/// The token of a record that has expired. Nothing else of such a row is read, because it counts as
/// absent.
pub(super) fn expired(row: &PgRow) -> Result<Option<Token>, StoreError> {
    if !row.try_get("expired").map_err(store_error)? {
        return Ok(None);
    }
    let token = bytes(row, "token").map_err(store_error)?.unwrap_or_default();
    token.try_into().map(|token| Some(Token::new(token))).map_err(|_| malformed(DecodeError))
}

/// Describes the record in a row of `info.sql`.
///
/// # Errors
///
/// As [`record`].
pub(super) fn info(row: &PgRow) -> Result<RecordInfo, StoreError> {
    info_columns(row).map_err(store_error)?.info().map_err(malformed)
}

/// The same, with its place in a list. A record that cannot be read is left out, and logged, so
/// that the others are found.
pub(super) fn listed(row: &PgRow) -> Result<Listed, StoreError> {
    let key = bytes(row, "key").map_err(store_error)?.unwrap_or_default();
    // A key of another length is not one of this crate. The next page begins behind its place.
    let mut whole = [0; 32];
    let length = key.len().min(whole.len());
    whole[..length].copy_from_slice(&key[..length]);
    let key = StorageKey::from_bytes(whole);
    let place = row.try_get("place").map_err(store_error)?;
    let info = info(row).inspect_err(|error| {
        tracing::warn!(%key, %error, "record left out of a list: it cannot be read");
    });
    Ok((place, key, info.ok()))
}

fn info_columns(row: &PgRow) -> Result<InfoRow, Error> {
    Ok(InfoRow {
        key: bytes(row, "key")?.unwrap_or_default(),
        status: row.try_get("status")?,
        attempt: row.try_get("attempt")?,
        token: bytes(row, "token")?.unwrap_or_default(),
        fingerprint: bytes(row, "fingerprint")?.unwrap_or_default(),
        lapsed: row.try_get("lapsed")?,
        response_status: row.try_get::<Option<i32>, _>("response_status")?.map(Into::into),
        response_missing: row.try_get("response_missing")?,
        bytes: row.try_get("bytes")?,
        namespace: row.try_get("namespace")?,
        route: row.try_get("route")?,
        scope: bytes(row, "scope")?,
        reserved_ago: row.try_get("reserved_ago")?,
        changed_ago: row.try_get("changed_ago")?,
        expires_in: row.try_get("expires_in")?,
    })
}

/// Reads a row of `history.sql`. An entry that cannot be read is left out, and logged, so that it
/// does not hide the record.
pub(super) fn entry(row: &PgRow) -> Option<AuditEntry> {
    let columns = || {
        Ok(EntryRow {
            id: bytes(row, "id")?.unwrap_or_default(),
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
///
/// # Errors
///
/// As [`record`].
pub(super) fn count(row: &PgRow, stats: &mut Stats) -> Result<(), StoreError> {
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

fn columns(row: &PgRow) -> Result<Row, Error> {
    Ok(Row {
        status: row.try_get("status")?,
        attempt: row.try_get("attempt")?,
        token: bytes(row, "token")?.unwrap_or_default(),
        fingerprint: bytes(row, "fingerprint")?.unwrap_or_default(),
        lapsed: row.try_get("lapsed")?,
        response: response(row)?,
    })
}

fn response(row: &PgRow) -> Result<Option<ResponseColumns>, Error> {
    let Some(status) = row.try_get("response_status")? else {
        return Ok(None);
    };
    Ok(Some(ResponseColumns {
        status,
        headers: bytes(row, "response_headers")?.unwrap_or_default().into(),
        trailers: bytes(row, "response_trailers")?.map(Into::into),
        request_id: row.try_get("response_request_id")?,
        body: bytes(row, "response_body")?.map(Into::into),
        missing: row.try_get("response_missing")?,
    }))
}

/// Bytes in any of their three formats. The driver does not read the older one of text, which
/// `bytea_output` may ask for.
fn bytes(row: &PgRow, column: &str) -> Result<Option<Vec<u8>>, Error> {
    let value = row.try_get_raw(column)?;
    if value.is_null() {
        return Ok(None);
    }
    let raw = value.as_bytes().map_err(Error::Decode)?;
    match value.format() {
        PgValueFormat::Text if !raw.starts_with(b"\\x") => {
            unescape(raw).map(Some).ok_or_else(|| Error::Decode(DecodeError.into()))
        }
        PgValueFormat::Text | PgValueFormat::Binary => {
            <Vec<u8> as Decode<Postgres>>::decode(value).map(Some).map_err(Error::Decode)
        }
    }
}

/// A backslash is written as two, and a byte that is not printable as a backslash and three octal
/// digits.
fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        (rest, ()) = match (first, tail) {
            (b'\\', [b'\\', tail @ ..]) => (tail, bytes.push(b'\\')),
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                (tail, bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0')))
            }
            (b'\\', _) => return None,
            (byte, tail) => (tail, bytes.push(*byte)),
        };
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn escaped_bytes_are_read_as_they_were() {
        assert_eq!(unescape(b"a\\\\b\\000\\377c").unwrap(), b"a\\b\0\xffc");
        for broken in [&b"\\"[..], b"\\4", b"\\40", b"\\400", b"\\x61"] {
            assert_eq!(unescape(broken), None);
        }
    }
}
