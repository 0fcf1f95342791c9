#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use http::StatusCode;

use super::EncryptionKeys;
use crate::record::fingerprint::Fingerprint;
use crate::record::outcome::{NotRetained, Outcome, StoredBody};
use crate::store::StoreErrorKind;
use crate::store::pack::given::{BODY, error_kind, key, of, packed, read, response};
use crate::store::pack::{Of, Packing};

fn encrypting(keys: EncryptionKeys) -> Packing {
    Packing { compress_above: None, encryption: Some(keys) }
}

fn january() -> EncryptionKeys {
    EncryptionKeys::new(1, [1; 32])
}

/// The bytes that a store would see of an outcome, each as a lossless character.
fn seen(outcome: &Outcome) -> String {
    outcome.encode().into_iter().map(char::from).collect()
}

#[test]
fn by_default_responses_go_to_the_store_as_they_are() {
    let outcome = response(BODY);
    assert_eq!(packed(&Packing::default(), &of(), &outcome), outcome);
    assert_eq!(read(&Packing::default(), &of(), outcome.clone()).unwrap(), outcome);
}

#[test]
fn what_was_packed_comes_out_as_it_was() {
    let packings = [
        Packing { compress_above: Some(10), encryption: None },
        encrypting(january()),
        Packing { compress_above: Some(10), encryption: Some(january()) },
        Packing { compress_above: Some(10), encryption: Some(january().accept_plain()) },
    ];
    let bodies = ["", "short", BODY, &BODY.repeat(1000)].map(|body| response(body.to_owned()));
    let without = |body| Outcome::new(StatusCode::OK, body);
    let others = [
        without(StoredBody::Omitted),
        without(StoredBody::NotRetained(NotRetained::Streamed)),
        Outcome { request_id: None, ..response(vec![0; 5000]) },
    ];
    for packing in &packings {
        for is_failure in [false, true] {
            let of = Of { is_failure, ..of() };
            for outcome in bodies.iter().chain(&others) {
                let packed = packed(packing, &of, outcome);
                let through_a_store = Outcome::decode(packed.encode().into()).unwrap();
                assert_eq!(read(packing, &of, through_a_store).unwrap(), *outcome);
            }
        }
    }
}

#[test]
fn an_encrypted_response_shows_its_status_and_nothing_else() {
    for compress_above in [None, Some(10)] {
        let packing = Packing { compress_above, ..encrypting(january()) };
        let packed = packed(&packing, &of(), &response(BODY));
        assert_eq!(packed.status, StatusCode::CREATED);
        assert!(packed.headers.is_empty() && packed.request_id.is_none());
        for secret in ["card", "4242", "secret", "request-77"] {
            assert!(!seen(&packed).contains(secret), "{secret} can be read");
        }
    }
}

#[test]
fn no_two_encryptions_of_a_response_are_alike() {
    let packing = encrypting(january());
    let once = packed(&packing, &of(), &response(BODY));
    let again = packed(&packing, &of(), &response(BODY));
    assert_ne!(once, again);
}

#[test]
fn a_response_is_read_under_its_own_record_only() {
    let packing = encrypting(january());
    let packed = packed(&packing, &of(), &response(BODY));
    let elsewhere = [
        Of { key: key("order-1002"), ..of() },
        Of { fingerprint: Fingerprint::of_fields(["another"]), ..of() },
        Of { is_failure: true, ..of() },
    ];
    for of in &elsewhere {
        assert_eq!(error_kind(&packing, of, packed.clone()), StoreErrorKind::Decrypt);
    }
    let status_changed = Outcome { status: StatusCode::OK, ..packed };
    assert_eq!(error_kind(&packing, &of(), status_changed), StoreErrorKind::Decrypt);
}

#[test]
fn a_changed_response_is_rejected_wherever_it_was_changed() {
    let packing = encrypting(january());
    let packed = packed(&packing, &of(), &response("ok"));
    for place in 0..packed.bytes().len() {
        let mut bytes = packed.bytes().to_vec();
        bytes[place] ^= 1;
        let changed = Outcome { body: StoredBody::Packed(bytes.into()), ..packed.clone() };
        let kind = error_kind(&packing, &of(), changed);
        assert!(
            matches!(kind, StoreErrorKind::Decrypt | StoreErrorKind::Corrupt),
            "byte {place}: {kind:?}"
        );
        let cut = Bytes::copy_from_slice(&packed.bytes()[..place]);
        let cut = Outcome { body: StoredBody::Packed(cut), ..packed.clone() };
        let kind = error_kind(&packing, &of(), cut);
        assert!(
            matches!(kind, StoreErrorKind::Decrypt | StoreErrorKind::Corrupt),
            "cut at {place}: {kind:?}"
        );
    }
}

#[test]
fn a_key_is_changed_without_losing_a_record() {
    let before = encrypting(january());
    let first = encrypting(january().reading(2, [2; 32]).unwrap());
    let then = encrypting(EncryptionKeys::new(2, [2; 32]).reading(1, [1; 32]).unwrap());
    let at_last = encrypting(EncryptionKeys::new(2, [2; 32]));
    let old = packed(&before, &of(), &response(BODY));
    let new = packed(&then, &of(), &response(BODY));
    for ring in [&before, &first, &then] {
        assert_eq!(read(ring, &of(), old.clone()).unwrap(), response(BODY));
    }
    for ring in [&first, &then, &at_last] {
        assert_eq!(read(ring, &of(), new.clone()).unwrap(), response(BODY));
    }
    assert_eq!(error_kind(&at_last, &of(), old.clone()), StoreErrorKind::Decrypt);
    assert_eq!(error_kind(&Packing::default(), &of(), old.clone()), StoreErrorKind::Decrypt);
    // Another key under the same number is another key.
    assert_eq!(
        error_kind(&encrypting(EncryptionKeys::new(1, [9; 32])), &of(), old),
        StoreErrorKind::Decrypt
    );
}

#[test]
fn plain_responses_are_rejected_unless_the_keys_accept_them() {
    let plain = response(BODY);
    assert_eq!(error_kind(&encrypting(january()), &of(), plain.clone()), StoreErrorKind::Decrypt);
    let migrating = encrypting(january().accept_plain());
    assert_eq!(read(&migrating, &of(), plain.clone()).unwrap(), plain);
}

/// A release puts the record of a failed attempt back, and no store can encrypt.
#[test]
fn the_status_of_a_failure_that_was_put_back_is_read_without_its_headers() {
    let of = Of { is_failure: true, ..of() };
    let body = StoredBody::NotRetained(NotRetained::Failure);
    let put_back = Outcome::new(StatusCode::BAD_GATEWAY, body.clone());
    let forged = Outcome { headers: response(BODY).headers, ..put_back.clone() };
    assert_eq!(read(&encrypting(january()), &of, forged).unwrap(), put_back);
    for reason in [NotRetained::TooLarge, NotRetained::Lost, NotRetained::Withheld] {
        let claimed = Outcome { body: StoredBody::NotRetained(reason), ..put_back.clone() };
        assert_eq!(error_kind(&encrypting(january()), &of, claimed), StoreErrorKind::Decrypt);
    }
    let success = Of { is_failure: false, ..of };
    assert_eq!(error_kind(&encrypting(january()), &success, put_back), StoreErrorKind::Decrypt);
}

#[test]
fn a_number_that_the_ring_has_already_is_an_error_when_it_is_built() {
    let twice = january().reading(1, [2; 32]).unwrap_err();
    assert_eq!(
        twice.to_string(),
        "the ring of encryption keys has a key with the number 1 already"
    );
    let ring = january().reading(2, [2; 32]).unwrap();
    assert!(ring.clone().reading(2, [2; 32]).is_err());
    assert!(ring.reading(3, [2; 32]).is_ok());
}

#[test]
fn debug_shows_no_key() {
    let shown = format!("{:?}", january().reading(2, [222; 32]).unwrap());
    assert_eq!(shown, "EncryptionKeys { id: 1, reading: [2], accepts_plain: false, .. }");
}
