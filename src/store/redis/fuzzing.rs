//! What the fuzz targets reach in the frames of records.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;

use super::frame::{self, Glance, Stored};
use super::operator::audit;
use crate::record::key::{IdempotencyKey, Scope, StorageKey};
use crate::store::operator::RecordInfo;
use crate::store::{Lease, Record, RecordStatus, ReserveRequest, State};

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
pub fn record_written_again(frame: &[u8]) -> Option<Vec<u8>> {
    let Stored { record, pending, missing, .. } =
        frame::decode(Bytes::copy_from_slice(frame)).ok()?;
    let request = ReserveRequest::new(key(), record.fingerprint);
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

fn key() -> StorageKey {
    let key = IdempotencyKey::parse(b"key").unwrap();
    StorageKey::derive(None, "", &Scope::anonymous(), &key)
}

/// What operators see of the record in a frame, and of the one that they make of it.
pub fn seen_and_settled(frame: &[u8]) -> Option<(RecordInfo, RecordInfo)> {
    let seen = |frame: &[u8]| {
        let found = Glance::of(Bytes::copy_from_slice(frame)).ok()?;
        Some(found.info(key(), 1000))
    };
    let before = seen(frame)?;
    if let Ok(Stored { record, .. }) = frame::decode(Bytes::copy_from_slice(frame)) {
        assert_eq!((record.token, record.attempt), (before.token, before.attempt));
        assert_eq!(record.status(), before.state.status());
    }
    let retention = Duration::from_secs(1);
    let (status, token) = (RecordStatus::Failed, before.token);
    let settled = frame::encode_settled(status, &before, token, None, retention, true);
    let after = seen(&settled).unwrap();
    Some((before, after))
}

/// Reads an audit entry, and writes what was read.
pub fn audit_written_again(frame: &[u8]) -> Option<Vec<u8>> {
    let entry = audit::decode(Bytes::copy_from_slice(frame)).ok()?;
    let at = entry.at.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let micros = u64::try_from(at.as_micros()).unwrap();
    let again = audit::with_time(&audit::encode(&entry), micros);
    assert_eq!(audit::decode(again.clone().into()).unwrap(), entry);
    Some(again)
}
