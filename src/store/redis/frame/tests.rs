#![allow(clippy::unwrap_used)]

use std::time::Duration;

use http::StatusCode;

use super::*;
use crate::record::key::{IdempotencyKey, Scope, StorageKey};
use crate::record::label::RecordLabel;
use crate::record::outcome::StoredBody;
use crate::store::ReserveRequest;
use crate::store::operator::RecordState;

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

/// Version, status, token, fingerprint and attempt.
fn fixed(status: u8) -> Vec<u8> {
    [&[1, status][..], &[7; 16], &[0x2a; 33], &[0, 0, 0, 3]].concat()
}

fn third(label: Option<RecordLabel>) -> Lease {
    Lease {
        fingerprint: Fingerprint::from_bytes(&[0x2a; 33]),
        attempt: 3,
        label: label.map(Into::into),
        ..lease()
    }
}

/// Records that are stored today must be readable tomorrow. They have been like this since before
/// there were labels, and without a label they are like this still.
#[test]
fn a_record_without_a_label_is_as_it_was_before_there_were_labels() {
    let lease = third(None);
    let pending = [&fixed(b'P')[..], b"\x90\x4e\x80\xb8\x99\x29"].concat();
    assert_eq!(encode_pending(&lease, Pending::running(&lease)), pending);
    let success = [&fixed(b'S')[..], b"\x01\x00\xc9\x00\x00\x0cthe response"].concat();
    let stored = outcome();
    let ended = |status, outcome| encode_ended(status, &lease, outcome, HOUR, true);
    assert_eq!(ended(RecordStatus::Success, Some(&stored)), success);
    assert_eq!(ended(RecordStatus::Failed, None), fixed(b'F'));

    let found = decode(pending.clone().into()).unwrap();
    assert_eq!((found.record.attempt, found.record.token), (3, Token::new([7; 16])));
    let times = found.pending.map(|times| (times.lease, times.retention));
    assert_eq!(times, Some((10_000, 86_400_000)));
    let State::Success(stored) = decode(success.clone().into()).unwrap().record.state else {
        panic!("a success")
    };
    assert_eq!(stored, outcome());

    let info = Glance::of(pending.into()).unwrap().info(lease.key, 86_000_000);
    assert_eq!((info.state, info.label, info.scope), (RecordState::Abandoned, None, None));
    assert_eq!(info.changed_ago, Some(Duration::from_secs(400)));
    assert_eq!((info.reserved_ago, info.bytes), (None, 0));
    let info = Glance::of(success.into()).unwrap().info(lease.key, 1000);
    assert_eq!((info.state.word(), info.bytes, info.changed_ago), ("success", 12, None));
    assert_eq!(info.expires_in, Some(Duration::from_secs(1)));
}

fn labels() -> [RecordLabel; 3] {
    let long = "x".repeat(200);
    [
        RecordLabel::new("payments", "POST /payments/{id}"),
        RecordLabel::new("", ""),
        RecordLabel::new(&long, &long),
    ]
}

#[test]
fn a_label_changes_nothing_but_what_operators_see() {
    for label in labels() {
        let (labelled, plain) = (third(Some(label.clone())), third(None));
        let stored = outcome();
        let frames = |lease: &Lease| {
            let ended = |status, outcome| encode_ended(status, lease, outcome, HOUR, true);
            let before = Record::new(
                lease.fingerprint,
                lease.attempt,
                lease.token,
                State::Pending { abandoned: true },
            );
            [
                encode_pending(lease, Pending::running(lease)),
                encode_put_back(lease, &before),
                ended(RecordStatus::Success, Some(&stored)),
                ended(RecordStatus::Failed, Some(&stored)),
                ended(RecordStatus::Failed, None),
            ]
        };
        for (with, without) in frames(&labelled).into_iter().zip(frames(&plain)) {
            same(&decode(with.clone().into()).unwrap(), &decode(without.clone().into()).unwrap());
            let left = i64::try_from(HOUR.as_millis() / 2).unwrap();
            let info = Glance::of(with.clone().into()).unwrap().info(labelled.key, left);
            let bare = Glance::of(without.into()).unwrap().info(plain.key, left);
            assert_eq!(info.label.as_deref(), Some(&label));
            assert_eq!(info.scope, Some(labelled.scope));
            assert_eq!((info.state, info.bytes), (bare.state, bare.bytes));
            let changed = info.changed_ago.unwrap();
            let retention = if with[1] == b'P' { labelled.retention } else { HOUR };
            assert_eq!(changed + HOUR / 2, retention);
            assert!(info.reserved_ago.unwrap() >= changed);
        }
    }
}

#[test]
fn a_record_that_an_operator_settles_goes_on_under_its_label() {
    for label in [Some(labels()[0].clone()), None] {
        let lease = third(label.clone());
        let pending = encode_pending(&lease, Pending::running(&lease));
        let seen = Glance::of(pending.into()).unwrap().info(lease.key, 0);
        let token = Token::new([9; 16]);
        let body = outcome();
        let settled = encode_settled(RecordStatus::Success, &seen, token, Some(&body), HOUR, false);
        let found = decode(settled.clone().into()).unwrap();
        assert_eq!((found.missing, found.record.token), (body.bytes().len(), token));
        let info = Glance::of(settled.into()).unwrap().info(lease.key, 3_599_000);
        assert_eq!((info.label.as_deref(), info.scope), (label.as_ref(), seen.scope));
        assert_eq!((info.attempt, info.fingerprint), (3, lease.fingerprint));
        assert_eq!(info.changed_ago, Some(Duration::from_secs(1)));
        let reserved = seen.reserved_ago.map(|ago| ago + Duration::from_secs(1));
        assert_eq!(info.reserved_ago, reserved);
    }
}

#[test]
fn damaged_fields_are_rejected_when_an_operator_asks_for_them() {
    for (frame, at) in frames() {
        for (tag, value) in [
            (2, &b"\xff"[..]),
            (4, b"\xc3\x28"),
            (6, b"too short"),
            (8, b"\0\x01"),
            (8, &[1; 9]),
            (10, &[0]),
        ] {
            let damaged = with_field(&frame, at, tag, value);
            assert!(Glance::of(damaged.clone()).is_err(), "{tag}: {value:?}");
            // Requests do not read them.
            assert!(decode(damaged).is_ok());
        }
        assert!(Glance::of(with_field(&frame, at, 1, b"one")).is_err());
        assert!(Glance::of(with_field(&frame, at, 300, b"later")).is_ok());
    }
}

/// Terminals and pages show them.
#[test]
fn a_label_that_another_program_wrote_loses_its_control_characters() {
    for (frame, at) in frames() {
        let mut fields = vec![0];
        Writer::new(&mut fields).fields(&[(2, b"pay\x1b[2J"), (4, b"POST\n/")]);
        let frame = [&frame[..at], &fields, &frame[at..]].concat();
        let info = Glance::of(frame.into()).unwrap().info(lease().key, 1);
        assert_eq!(info.label.as_deref(), Some(&RecordLabel::new("pay[2J", "POST/")));
    }
}
