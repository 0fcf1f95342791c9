#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use http::StatusCode;

use crate::record::frame::Writer;
use crate::record::outcome::{NotRetained, Outcome, StoredBody};
use crate::store::StoreErrorKind;
use crate::store::pack::Packing;
use crate::store::pack::given::{BODY, LIMIT, error_kind, of, packed, read, response};

#[test]
fn a_compressed_response_is_smaller_and_keeps_its_headers_readable() {
    let packing = Packing { compress_above: Some(1000), encryption: None };
    let outcome = response(BODY.repeat(100));
    let smaller = packed(&packing, &of(), &outcome);
    assert!(smaller.bytes().len() * 10 < outcome.bytes().len());
    assert_eq!((smaller.headers, smaller.request_id), (outcome.headers, outcome.request_id));
    let small = response(BODY);
    assert_eq!(packed(&packing, &of(), &small), small);
}

#[test]
fn what_compression_would_make_larger_stays_as_it_is() {
    let mut digests = (0_u32..).flat_map(|number| *blake3::hash(&number.to_le_bytes()).as_bytes());
    let noise: Vec<u8> = digests.by_ref().take(4000).collect();
    let outcome = response(noise);
    let packing = Packing { compress_above: Some(1), encryption: None };
    assert_eq!(packed(&packing, &of(), &outcome), outcome);
}

#[test]
fn a_response_that_would_become_too_large_counts_as_not_retained() {
    let packing = Packing { compress_above: Some(1), encryption: None };
    let bomb = packed(&packing, &of(), &response(vec![0; 8 << 20]));
    assert!(bomb.bytes().len() < 64 << 10);
    let opened = read(&packing, &of(), bomb).unwrap();
    assert_eq!(opened.body, StoredBody::NotRetained(NotRetained::TooLarge));
}

#[test]
fn a_bomb_that_lies_about_its_length_is_not_made() {
    let packing = Packing { compress_above: Some(1), encryption: None };
    let bomb = packed(&packing, &of(), &response(vec![0; 8 << 20]));
    // The length comes after the mark, in four bytes for eight megabytes.
    let deflated = &bomb.bytes()[5..];
    for lie in [0, 1, 5000, LIMIT] {
        let mut forged = vec![b'C'];
        Writer::new(&mut forged).number(lie);
        forged.extend_from_slice(deflated);
        let forged = Outcome { body: StoredBody::Packed(forged.into()), ..bomb.clone() };
        assert_eq!(error_kind(&packing, &of(), forged), StoreErrorKind::Corrupt);
    }
}

#[test]
fn a_frame_in_a_frame_is_rejected() {
    let packing = Packing::default();
    let inner = Outcome::new(StatusCode::OK, StoredBody::Packed(Bytes::from_static(b"P")));
    let mut frame = vec![b'P'];
    frame.extend_from_slice(&inner.encode());
    let nested = Outcome::new(StatusCode::OK, StoredBody::Packed(frame.into()));
    assert_eq!(error_kind(&packing, &of(), nested), StoreErrorKind::Corrupt);
}
