#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Field, Outcome, StoredBody};
use crate::record::fingerprint::Fingerprint;
use crate::record::frame::DecodeError;
use crate::record::outcome::NotRetained;
use crate::record::outcome::kind::KINDS;
use crate::store::{Record, Reservation, State, Token};

fn names() -> impl Strategy<Value = HeaderName> {
    let known = prop::sample::select(vec!["content-type", "location", "link", "trailer"]);
    prop_oneof![
        known.prop_map(HeaderName::from_static),
        "[a-z][a-z0-9-]{0,20}".prop_map(|name| HeaderName::try_from(name).unwrap()),
    ]
}

fn values() -> impl Strategy<Value = HeaderValue> {
    (vec(any::<u8>(), 0..60), any::<bool>()).prop_map(|(mut bytes, is_sensitive)| {
        bytes.retain(|byte| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..));
        let mut value = HeaderValue::from_bytes(&bytes).unwrap();
        value.set_sensitive(is_sensitive);
        value
    })
}

/// Which of its values are sensitive, in their order: what the comparison of two values leaves out.
fn sensitive(outcome: &Outcome) -> Vec<bool> {
    let trailers = match &outcome.body {
        StoredBody::Whole { trailers: Some(trailers), .. } => (**trailers).clone(),
        _ => HeaderMap::new(),
    };
    let values = outcome.headers.values().chain(&outcome.request_id).chain(trailers.values());
    values.map(HeaderValue::is_sensitive).collect()
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    vec((names(), values()), 0..8).prop_map(|lines| lines.into_iter().collect())
}

fn bodies() -> impl Strategy<Value = StoredBody> {
    let without_bytes =
        KINDS.into_iter().filter_map(|(kind, ..)| StoredBody::of_kind(kind, None, None).ok());
    prop_oneof![
        (vec(any::<u8>(), 0..300), prop::option::of(headers())).prop_map(|(bytes, trailers)| {
            StoredBody::Whole { bytes: bytes.into(), trailers: trailers.map(Box::new) }
        }),
        vec(any::<u8>(), 0..300).prop_map(|bytes| StoredBody::Packed(bytes.into())),
        vec(any::<u8>(), 0..300).prop_map(|bytes| StoredBody::PackedNotRetained(bytes.into())),
        prop::sample::select(without_bytes.collect::<Vec<_>>()),
    ]
}

pub(super) fn outcomes() -> impl Strategy<Value = Outcome> {
    (100..1000_u16, headers(), prop::option::of(values()), bodies()).prop_map(
        |(status, headers, request_id, body)| {
            let status = StatusCode::from_u16(status).unwrap();
            Outcome::new(status, body).headers(headers).request_id(request_id)
        },
    )
}

proptest! {
    #[test]
    fn what_was_written_is_read(outcome in outcomes()) {
        let read = Outcome::decode(outcome.encode().into()).unwrap();
        prop_assert_eq!(sensitive(&read), sensitive(&outcome));
        prop_assert_eq!(read, outcome);
    }

    #[test]
    fn a_head_without_its_body_says_how_much_is_missing(outcome in outcomes()) {
        let mut head = Vec::new();
        outcome.encode_head(&mut head);
        let (read, missing) = Outcome::decode_head(head.into()).unwrap();
        prop_assert_eq!(missing, outcome.bytes().len());
        prop_assert_eq!(read.headers, outcome.headers);
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = Outcome::decode(bytes.into());
    }

    #[test]
    fn no_damage_makes_reading_panic(outcome in outcomes(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut frame = outcome.encode();
        let at = at.index(frame.len());
        frame[at] = byte;
        let _ = Outcome::decode(frame.into());
    }
}

proptest! {
    // Each case reads a frame as many times as it has bytes.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_frame_that_is_cut_short_or_too_long_is_rejected(outcome in outcomes()) {
        let frame = Bytes::from(outcome.encode());
        for end in 0..frame.len() {
            prop_assert_eq!(Outcome::decode(frame.slice(..end)), Err(DecodeError));
        }
        let mut longer = frame.to_vec();
        longer.push(0);
        prop_assert_eq!(Outcome::decode(longer.into()), Err(DecodeError));
    }
}

/// The frame that a version of the crate writes which knows these fields.
fn with_fields(outcome: &Outcome, fields: &[Field<'_>]) -> Bytes {
    let mut frame = Vec::new();
    outcome.write(fields, &mut frame);
    frame.extend_from_slice(outcome.bytes());
    frame.into()
}

/// What a version of the crate reads that knows the fields 1 and 2.
fn read_by_the_next_version(frame: Bytes) -> Result<(Outcome, Vec<(usize, Bytes)>), DecodeError> {
    let mut found = Vec::new();
    let (outcome, missing) = Outcome::read(frame, |tag, value| {
        found.push((tag, Bytes::copy_from_slice(value)));
        Ok(tag <= 2)
    })?;
    assert_eq!(missing, 0);
    Ok((outcome, found))
}

proptest! {
    #[test]
    fn a_field_of_the_next_version_is_left_out_by_this_one(outcome in outcomes(), value in vec(any::<u8>(), 0..200)) {
        let frame = with_fields(&outcome, &[(2, &value)]);
        prop_assert_eq!(Outcome::decode(frame.clone()), Ok(outcome.clone()));
        let (read, fields) = read_by_the_next_version(frame).unwrap();
        prop_assert_eq!(read, outcome);
        prop_assert_eq!(fields, [(2, Bytes::from(value))]);
    }

    #[test]
    fn a_frame_of_this_version_is_read_by_the_next_one(outcome in outcomes()) {
        let read = read_by_the_next_version(outcome.encode().into());
        prop_assert_eq!(read, Ok((outcome, Vec::new())));
    }
}

#[test]
fn a_field_with_an_odd_tag_is_read_or_the_frame_is_rejected() {
    let frame = with_fields(&empty(), &[(1, b"must"), (2, b"may")]);
    assert_eq!(Outcome::decode(frame.clone()), Err(DecodeError));
    let fields = vec![(1, Bytes::from_static(b"must")), (2, Bytes::from_static(b"may"))];
    assert_eq!(read_by_the_next_version(frame), Ok((empty(), fields)));

    let later = with_fields(&empty(), &[(2, b"may"), (3, b"must")]);
    assert_eq!(read_by_the_next_version(later), Err(DecodeError));
}

#[test]
fn fields_are_where_they_were_in_version_1() {
    let frame = with_fields(&empty(), &[(2, b"two"), (300, &[7; 128])]);
    let value = "07".repeat(128);
    let expected = format!("01 00c8 80 00  8901 02 03 74776f ac02 8001 {value}  00");
    assert_eq!(hex(&frame), expected.replace(' ', ""));
    assert_eq!(Outcome::decode(frame), Ok(empty()));
}

/// Frames that are stored today must be readable tomorrow. If this test fails, the format has
/// changed: write a new version, and a reader for this one.
#[test]
fn the_frame_is_as_it_was_in_version_1() {
    let mut headers = HeaderMap::new();
    for (name, value) in KNOWN.into_iter().zip('a'..) {
        headers.append(name, HeaderValue::from_str(&value.to_string()).unwrap());
    }
    headers.append("link", HeaderValue::from_static("again"));
    headers.append("x-own", HeaderValue::from_bytes(b"\xe9").unwrap());
    let trailers = Some(Box::new(HeaderMap::from_iter([(
        HeaderName::from_static("x-sum"),
        HeaderValue::from_static("7"),
    )])));
    let outcome = Outcome::new(
        StatusCode::CREATED,
        StoredBody::Whole { bytes: Bytes::from_static(b"\0hi"), trailers },
    )
    .headers(headers)
    .request_id(Some(HeaderValue::from_static("req-1")));

    let frame = [
        "01 00c9 30",
        "05 7265712d31",
        "12",
        "01 01 61  02 01 62  03 01 63  04 01 64  05 01 65  06 01 66  07 01 67  08 01 68",
        "09 01 69  0a 01 6a  0a 05 616761696e  0b 01 6b  0c 01 6c  0d 01 6d  0e 01 6e",
        "0f 01 6f  10 01 70",
        "00 05 782d6f776e 01 e9",
        "01  00 05 782d73756d 01 37",
        "03 006869",
    ];
    assert_eq!(hex(&outcome.encode()), frame.concat().replace(' ', ""));
    assert_eq!(Outcome::decode(unhex(&frame.concat())), Ok(outcome));
}

/// The known names in the order of their numbers, spelled out here so that a change of the table is
/// seen.
const KNOWN: [&str; 16] = [
    "content-type",
    "location",
    "etag",
    "cache-control",
    "vary",
    "content-encoding",
    "content-language",
    "content-location",
    "last-modified",
    "link",
    "retry-after",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "x-content-type-options",
    "strict-transport-security",
    "trailer",
];

#[test]
fn a_sensitive_value_takes_no_byte_more() {
    let value = || {
        let mut value = HeaderValue::from_static("a");
        value.set_sensitive(true);
        value
    };
    let mut outcome = Outcome { request_id: Some(value()), ..empty() };
    outcome.headers.insert("location", value());
    outcome.headers.insert("x-own", value());
    let frame = "01 00c8 60  01 61  02  42 01 61  40 05 782d6f776e 01 61  00";
    assert_eq!(hex(&outcome.encode()), frame.replace(' ', ""));
    assert_eq!(sensitive(&Outcome::decode(unhex(frame)).unwrap()), [true; 3]);
}

#[test]
fn the_reasons_for_storing_no_body_are_as_they_were_in_version_1() {
    let frames = [
        (NotRetained::TooLarge, "01 00c8 01 00 00"),
        (NotRetained::Streamed, "01 00c8 02 00 00"),
        (NotRetained::Failure, "01 00c8 03 00 00"),
        (NotRetained::Lost, "01 00c8 04 00 00"),
        (NotRetained::Withheld, "01 00c8 05 00 00"),
        (NotRetained::Rejected, "01 00c8 08 00 00"),
        (NotRetained::Stalled, "01 00c8 09 00 00"),
    ];
    for (why, frame) in frames {
        let outcome = Outcome { body: StoredBody::NotRetained(why), ..empty() };
        assert_eq!(hex(&outcome.encode()), frame.replace(' ', ""));
        assert_eq!(Outcome::decode(unhex(frame)), Ok(outcome));
    }
    assert_eq!(Outcome::decode(unhex("01 00c8 00 00 00")), Ok(empty()));
}

#[test]
fn frames_that_lie_are_rejected() {
    let lies = [
        ("another version", "02 00c8 00 00 00"),
        ("no version", ""),
        ("a status of two digits", "01 0063 00 00 00"),
        ("a status of four digits", "01 03e8 00 00 00"),
        ("an unknown kind of body", "01 00c8 0c 00 00"),
        ("a sensitive request id that is not there", "01 00c8 40 00 00"),
        ("fields that are not there", "01 00c8 80 00 00"),
        ("no fields, though the bit is set", "01 00c8 80 00 00 00"),
        ("fields longer than the frame", "01 00c8 80 00 05 02 01 61 00"),
        ("a field longer than all fields", "01 00c8 80 00 03 02 02 61 00"),
        ("fields in another order", "01 00c8 80 00 04 04 00 02 00 00"),
        ("a field twice", "01 00c8 80 00 04 02 00 02 00 00"),
        ("a field that every reader must know", "01 00c8 80 00 03 01 01 61 00"),
        ("a body though none was stored", "01 00c8 01 00 01 41"),
        ("trailers though no body was stored", "01 00c8 11 00 00 00"),
        ("more headers than bytes", "01 00c8 00 ff7f 00"),
        ("as many headers as a number can tell", "01 00c8 00 ffffffffffffffffff01 00"),
        ("a number that does not end", "01 00c8 00 ffffffffffffffffffffffffffff"),
        ("a number that does not fit", "01 00c8 00 80808080808080808002 00"),
        ("a known name that is unknown", "01 00c8 00 01 11 00 00"),
        ("a name of no length", "01 00c8 00 01 00 00 01 41 00"),
        ("a name with a space", "01 00c8 00 01 00 02 6120 01 41 00"),
        ("a value with a line break", "01 00c8 00 01 01 01 0a 00"),
        ("a value longer than the frame", "01 00c8 00 01 01 7f 41 00"),
        ("a request id with a zero byte", "01 00c8 20 01 00 00 00"),
        ("a body longer than the frame", "01 00c8 00 00 03 4141"),
        ("a body longer than any", "01 00c8 00 00 ffffffffffffffffff01 41"),
        ("a body shorter than the frame", "01 00c8 00 00 01 4141"),
        ("a body that is not there", "01 00c8 00 00 03"),
    ];
    for (lie, frame) in lies {
        assert_eq!(Outcome::decode(unhex(frame)), Err(DecodeError), "{lie}");
    }
}

#[test]
fn a_forged_count_reserves_no_memory_for_it() {
    // The largest count that the length of the frame lets pass, with lines that soon turn out to be
    // none.
    let mut frame = unhex("01 00c8 00 808008").to_vec();
    frame.resize(frame.len() + 2 * (128 << 10), 0);
    assert_eq!(Outcome::decode(frame.into()), Err(DecodeError));
}

#[test]
fn as_many_headers_as_a_map_takes_are_read_and_more_are_rejected() {
    let most = (0..24_000_u32)
        .map(|n| (HeaderName::try_from(format!("x-{n}")).unwrap(), HeaderValue::from_static("")));
    let outcome = Outcome { headers: most.collect(), ..empty() };
    assert_eq!(Outcome::decode(outcome.encode().into()), Ok(outcome));

    let mut frame = unhex("01 00c8 00 c0b802").to_vec();
    for n in 0..40_000_u32 {
        frame.extend_from_slice(&[0, 8]);
        frame.extend_from_slice(format!("{n:08}").as_bytes());
        frame.push(0);
    }
    frame.push(0);
    assert_eq!(Outcome::decode(frame.into()), Err(DecodeError));
}

#[test]
fn the_body_is_a_slice_of_the_frame() {
    let body = StoredBody::Whole { bytes: Bytes::from_static(b"the body"), trailers: None };
    let frame = Bytes::from(Outcome { body, ..empty() }.encode());
    let outcome = Outcome::decode(frame.clone()).unwrap();
    assert!(frame.as_ptr_range().contains(&outcome.bytes().as_ptr()), "the body was copied");
}

fn empty() -> Outcome {
    Outcome::new(StatusCode::OK, StoredBody::Whole { bytes: Bytes::new(), trailers: None })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

fn unhex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

#[test]
fn debug_shows_nothing_of_what_a_response_contains() {
    let lines = [("x-name", "secret-header"), ("location", "/secret-location")];
    let headers: HeaderMap = lines
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .into_iter()
        .collect();
    let bytes = Bytes::from_static(b"secret-body");
    let whole =
        StoredBody::Whole { bytes: bytes.clone(), trailers: Some(Box::new(headers.clone())) };
    let request_id = Some(HeaderValue::from_static("secret-id"));
    let outcome = Outcome::new(StatusCode::CREATED, whole).headers(headers).request_id(request_id);
    assert_eq!(
        format!("{outcome:?}"),
        "Outcome { status: 201, headers: 2, body: Whole(11 bytes, 2 trailers), .. }"
    );
    assert_eq!(format!("{:?}", StoredBody::Packed(bytes)), "Packed(11 bytes)");
    let record = Record::new(
        Fingerprint::of_fields(["one"]),
        1,
        Token::new([0; 16]),
        State::Success(outcome),
    );
    for shown in [format!("{record:?}"), format!("{:#?}", Reservation::Found(record))] {
        assert!(!shown.contains("secret") && shown.contains("201"), "{shown}");
    }
}
