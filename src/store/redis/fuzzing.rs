//! What the fuzz targets reach in the frames of records.

use bytes::Bytes;

use super::frame::{self, Stored};
use crate::record::key::{IdempotencyKey, Scope, StorageKey};
use crate::store::{Lease, Record, ReserveRequest, State};

/// The most bytes that are made up for a body that is stored apart.
const MOST: usize = 1 << 16;

/// The record that the Redis store reads in a frame. A body that is stored apart is made up, or
/// lost if it is too long.
pub(crate) fn record_of(frame: &[u8]) -> Option<Record> {
    let Stored { mut record, missing, .. } = frame::decode(Bytes::copy_from_slice(frame)).ok()?;
    if missing > 0
        && let State::Success(outcome) | State::Failed(Some(outcome)) = &mut record.state
    {
        let supplied = (missing <= MOST).then(|| Bytes::from(vec![b'a'; missing]));
        *outcome = outcome.clone().with_bytes(supplied);
    }
    Some(record)
}

/// Reads a frame, and writes what was read.
#[allow(clippy::unwrap_used)]
pub fn record_written_again(frame: &[u8]) -> Option<Vec<u8>> {
    let Stored { record, pending, missing, .. } =
        frame::decode(Bytes::copy_from_slice(frame)).ok()?;
    let key = IdempotencyKey::parse(b"key").unwrap();
    let key = StorageKey::derive(None, "", &Scope::anonymous(), &key);
    let request = ReserveRequest::new(key, record.fingerprint);
    let lease = Lease { attempt: record.attempt, ..Lease::first(&request, record.token) };
    let status = record.status();
    let outcome = match record.state {
        State::Pending { .. } => return Some(frame::encode_pending(&lease, pending?)),
        State::Success(outcome) => Some(outcome),
        State::Failed(outcome) => outcome,
    };
    if missing > MOST {
        return None;
    }
    let supplied = (missing > 0).then(|| Bytes::from(vec![0; missing]));
    let outcome = match supplied {
        Some(supplied) => outcome.map(|outcome| outcome.with_bytes(Some(supplied))),
        None => outcome,
    };
    Some(frame::encode_ended(status, &lease, outcome.as_ref(), lease.retention, missing == 0))
}
