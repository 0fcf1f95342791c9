#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::record::outcome::NotRetained;

fn every_outcome() -> Vec<Outcome> {
    let mut headers = HeaderMap::new();
    headers.append("content-type", HeaderValue::from_static("application/json"));
    headers.append("x-one", HeaderValue::from_static("a: b, c"));
    headers.append("x-one", HeaderValue::from_static(""));
    headers.append("x-beyond", HeaderValue::from_bytes(b"\xff \xe4\t~").unwrap());
    let trailers = Some(Box::new(headers.clone()));
    let bodies = [
        StoredBody::Whole { bytes: Bytes::from_static(b"\0\xff\n"), trailers },
        StoredBody::Whole { bytes: Bytes::new(), trailers: None },
        StoredBody::Packed(Bytes::from_static(b"P\x01")),
        StoredBody::PackedNotRetained(Bytes::from_static(b"E\x01")),
        StoredBody::Omitted,
        StoredBody::NotRetained(NotRetained::TooLarge),
        StoredBody::NotRetained(NotRetained::Streamed),
        StoredBody::NotRetained(NotRetained::Failure),
        StoredBody::NotRetained(NotRetained::Lost),
        StoredBody::NotRetained(NotRetained::Withheld),
        StoredBody::NotRetained(NotRetained::Rejected),
        StoredBody::NotRetained(NotRetained::Stalled),
    ];
    let outcome = |body| Outcome {
        status: StatusCode::CREATED,
        headers: headers.clone(),
        request_id: Some(HeaderValue::from_static("r-1")),
        body,
    };
    bodies.map(outcome).into()
}

fn row(status: &str, response: Option<ResponseColumns>) -> Row {
    Row {
        status: status.into(),
        attempt: 2,
        token: vec![7; 16],
        fingerprint: vec![1; Fingerprint::LEN],
        lapsed: true,
        response,
    }
}

#[test]
fn every_response_comes_back_as_it_was() {
    for outcome in every_outcome() {
        let record = row("success", Some(ResponseColumns::of(&outcome))).record().unwrap();
        let State::Success(read) = record.state else { panic!("not a success") };
        assert_eq!(read, outcome);
        assert_eq!(record.attempt, 2);
    }
}

#[test]
fn headers_are_lines_that_a_person_can_read() {
    let response = ResponseColumns::of(&every_outcome()[0]);
    let lines =
        b"content-type: application/json\nx-one: a: b, c\nx-one: \nx-beyond: \xff \xe4\t~\n";
    assert_eq!(response.headers, &lines[..]);
}

/// An outcome with these headers, and with the first of their values as its request id.
fn with(headers: HeaderMap) -> Outcome {
    let trailers = Some(Box::new(headers.clone()));
    let request_id = headers.values().next().cloned();
    let body = StoredBody::Whole { bytes: Bytes::new(), trailers };
    Outcome { status: StatusCode::OK, headers, request_id, body }
}

fn values() -> impl Strategy<Value = HeaderValue> {
    let bytes = prop_oneof![vec(any::<u8>(), 0..20), vec(0x21..=0x7e_u8, 0..20)];
    (bytes, any::<bool>()).prop_map(|(mut bytes, is_sensitive)| {
        bytes.retain(|byte| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..));
        let mut value = HeaderValue::from_bytes(&bytes).unwrap();
        value.set_sensitive(is_sensitive);
        value
    })
}

fn sensitive(headers: &HeaderMap) -> Vec<bool> {
    headers.values().map(HeaderValue::is_sensitive).collect()
}

proptest! {
    #[test]
    fn header_bytes_are_read_as_they_were_written(lines in vec(("[a-z][a-z0-9-]{0,9}", values()), 0..6)) {
        let lines = lines.into_iter().map(|(name, value)| (HeaderName::try_from(name).unwrap(), value));
        let outcome = with(lines.collect());
        let read = ResponseColumns::of(&outcome).outcome().unwrap();
        prop_assert_eq!(sensitive(&read.headers), sensitive(&outcome.headers));
        let id = outcome.request_id.as_ref().filter(|id| id.as_bytes().iter().all(u8::is_ascii_graphic));
        prop_assert_eq!(read.request_id.as_ref(), id);
        prop_assert_eq!(read.request_id.as_ref().map(HeaderValue::is_sensitive), id.map(HeaderValue::is_sensitive));
        let StoredBody::Whole { trailers: Some(trailers), .. } = &read.body else { panic!("no trailers") };
        prop_assert_eq!(sensitive(trailers), sensitive(&outcome.headers));
        prop_assert_eq!(&**trailers, &outcome.headers);
        prop_assert_eq!(&read.headers, &outcome.headers);
    }

    #[test]
    fn no_lines_make_reading_panic(lines in vec(any::<u8>(), 0..60)) {
        let _ = headers(lines.into());
    }
}

#[test]
fn a_sensitive_value_is_marked_where_a_person_sees_it() {
    let mut token = HeaderValue::from_static("t");
    token.set_sensitive(true);
    let response = ResponseColumns::of(&with(HeaderMap::from_iter([(
        HeaderName::from_static("x-token"),
        token,
    )])));
    assert_eq!(response.headers, "(sensitive) x-token: t\n");
    assert_eq!(response.trailers.unwrap(), "(sensitive) x-token: t\n");
    assert_eq!(response.request_id.unwrap(), "(sensitive) t");
}

#[test]
fn a_request_id_that_a_database_could_reject_is_not_stored() {
    let longest = "r".repeat(128);
    for (id, is_stored) in
        [(longest.as_bytes(), true), (&[b'r'; 129], false), (b"caf\xe9", false), (b"a b", false)]
    {
        let outcome = Outcome {
            request_id: Some(HeaderValue::from_bytes(id).unwrap()),
            ..with(HeaderMap::new())
        };
        assert_eq!(ResponseColumns::of(&outcome).request_id.is_some(), is_stored, "{id:?}");
    }
}

#[test]
fn a_lapsed_pending_row_is_abandoned_and_a_failed_one_needs_no_response() {
    let pending = row("pending", None).record().unwrap();
    assert!(matches!(pending.state, State::Pending { abandoned: true }));
    assert!(matches!(row("failed", None).record().unwrap().state, State::Failed(None)));
}

#[test]
fn what_is_never_written_is_malformed() {
    let whole = || ResponseColumns::of(&every_outcome()[0]);
    let damaged: [fn(&mut Row); 16] = [
        |row| row.status = "done".into(),
        |row| row.status = "pending".into(),
        |row| row.response = None,
        |row| row.attempt = -1,
        |row| row.token = vec![0; 15],
        |row| row.fingerprint = vec![0; 32],
        |row| row.response.as_mut().unwrap().status = 99,
        |row| row.response.as_mut().unwrap().status = 1000,
        |row| row.response.as_mut().unwrap().headers = "no colon".into(),
        |row| row.response.as_mut().unwrap().headers = "a b: c\n".into(),
        |row| row.response.as_mut().unwrap().headers = "name: \0\n".into(),
        |row| row.response.as_mut().unwrap().request_id = Some("caf\u{e9}".into()),
        |row| row.response.as_mut().unwrap().request_id = Some("r".repeat(129)),
        |row| row.response.as_mut().unwrap().body = None,
        |row| row.response.as_mut().unwrap().missing = Some("lost".into()),
        |row| {
            let response = row.response.as_mut().unwrap();
            (response.body, response.missing) = (None, Some("eaten".into()));
        },
    ];
    for (number, damage) in damaged.into_iter().enumerate() {
        let mut row = row("success", Some(whole()));
        damage(&mut row);
        assert!(row.record().is_err(), "number {number} is read");
    }
}

#[test]
fn only_plain_names_become_identifiers() {
    for name in ["records", "_r", "Records2", &"a".repeat(40)] {
        assert_eq!(Identifier::new(name).unwrap().to_string(), format!("\"{name}\""));
    }
    for name in ["", "2nd", "a b", "a\"b", "a.b", "a;b", "ä", "a\0", &"a".repeat(41)] {
        assert_eq!(Identifier::new(name), Err(InvalidIdentifier), "{name:?}");
    }
}
