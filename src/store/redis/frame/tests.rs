#![allow(clippy::unwrap_used)]

use std::time::Duration;

use http::StatusCode;

use super::*;
use crate::record::key::{IdempotencyKey, Scope, StorageKey};
use crate::record::outcome::StoredBody;
use crate::store::ReserveRequest;

const HOUR: Duration = Duration::from_hours(1);

fn lease() -> Lease {
    let key = IdempotencyKey::parse(b"order-1001").unwrap();
    let key = StorageKey::derive(None, "tests", &Scope::anonymous(), &key);
    let request =
        ReserveRequest::new(key, Fingerprint::of_fields(["pay"])).lease(Duration::from_secs(10));
    Lease::first(&request, Token::new([7; 16]))
}

fn outcome() -> Outcome {
    let body = StoredBody::Whole { bytes: Bytes::from_static(b"the response"), trailers: None };
    Outcome::new(StatusCode::CREATED, body)
}

/// One frame of each kind that there is, and where its fields go.
fn frames() -> [(Vec<u8>, usize); 4] {
    let lease = lease();
    let pending = encode_pending(&lease, Pending::running(&lease));
    let end = pending.len();
    [
        (pending, end),
        (encode_ended(RecordStatus::Success, &lease, Some(&outcome()), HOUR, true), START),
        (encode_ended(RecordStatus::Failed, &lease, Some(&outcome()), HOUR, true), START),
        (encode_ended(RecordStatus::Failed, &lease, None, HOUR, true), START),
    ]
}

/// The frame that a version of the crate writes which knows this field.
fn with_field(frame: &[u8], at: usize, tag: usize, value: &[u8]) -> Bytes {
    let mut fields = vec![0];
    Writer::new(&mut fields).fields(&[(tag, value)]);
    [&frame[..at], &fields, &frame[at..]].concat().into()
}

fn same(read: &Stored, expected: &Stored) {
    assert_eq!(format!("{:?}", read.record), format!("{:?}", expected.record));
    let times = |stored: &Stored| stored.pending.map(|pending| (pending.lease, pending.retention));
    assert_eq!((times(read), read.missing), (times(expected), expected.missing));
}

#[test]
fn a_record_with_a_field_of_the_next_version_is_read_without_it() {
    for (frame, at) in frames() {
        let expected = decode(frame.clone().into()).unwrap();
        let later = with_field(&frame, at, 2, b"two");
        let read = decode(later.clone()).unwrap();
        same(&read, &expected);
        // A take-over compares all of a pending record.
        assert_eq!(
            read.identity,
            if read.pending.is_some() { later } else { later.slice(..START) }
        );
    }
}

#[test]
fn a_record_of_this_version_is_read_by_the_next_one() {
    for (frame, at) in frames() {
        let expected = decode(frame.clone().into()).unwrap();
        same(&read(frame.clone().into(), |_, _| panic!("no field")).unwrap(), &expected);
        let mut fields = Vec::new();
        let known = |tag, value: &[u8]| {
            fields.push((tag, Bytes::copy_from_slice(value)));
            Ok(true)
        };
        same(&read(with_field(&frame, at, 1, b"one"), known).unwrap(), &expected);
        assert_eq!(fields, [(1, Bytes::from_static(b"one"))]);
    }
}

#[test]
fn a_record_with_a_field_that_every_reader_must_know_is_rejected() {
    for (frame, at) in frames() {
        assert!(decode(with_field(&frame, at, 1, b"one")).is_err());
    }
}

#[test]
fn a_record_that_is_cut_short_or_too_long_is_rejected() {
    for (frame, at) in frames() {
        let later = with_field(&frame, at, 2, b"two");
        let after_the_field = at + later.len() - frame.len();
        for end in 0..later.len() {
            // The rest may be a record without the field, or a failure without its response.
            let is_whole = match later[1] {
                b'P' => end == at,
                b'F' => end == at || end == after_the_field,
                _ => false,
            };
            // A frame without its body says how much of it is missing.
            let is_rejected = decode(later.slice(..end)).map_or(true, |read| read.missing > 0);
            assert!(is_rejected || is_whole, "{end} bytes of {later:?}");
        }
        let longer = [&later[..], &[0]].concat();
        assert!(decode(longer.into()).is_err());
    }
}
