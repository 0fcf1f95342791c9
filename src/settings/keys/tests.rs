#![allow(clippy::unwrap_used)]

use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;

use super::Config;
use crate::record::fingerprint::JsonPointer;
use crate::record::key::{IdempotencyKey, KeyError};

fn config() -> Config {
    let pointer = JsonPointer::from_static("/idempotency_key");
    Config { key_pointer: Some(pointer), ..Config::default() }
}

fn found_in(body: &[u8]) -> Result<Option<IdempotencyKey>, KeyError> {
    config().key_of(None, &HeaderMap::new(), body)
}

/// The part of the body that a handler reads. It skips the rest.
#[derive(Deserialize)]
struct Payment {
    idempotency_key: Option<String>,
}

#[test]
fn a_body_in_which_a_handler_finds_a_key_never_passes_for_one_without() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let many = format!("[{}0]", "0,".repeat(20_000));
    for other in
        [b"1e999".as_slice(), br#""\ud800""#, b"\"\xff\"", deep.as_bytes(), many.as_bytes()]
    {
        let body = [br#"{"idempotency_key":"order-1001","other":"#, other, b"}"].concat();
        let payment: Payment = serde_json::from_slice(&body).unwrap();
        assert_eq!(payment.idempotency_key.as_deref(), Some("order-1001"));
        let found = found_in(&body).unwrap_err();
        assert_eq!(found, KeyError::Unreadable, "{}", String::from_utf8_lossy(&body));
    }
}

#[test]
fn a_body_that_is_not_json_has_no_key() {
    for body in ["", "amount=1", "{", "{}{}", "\u{feff}{}", "nul"] {
        assert_eq!(found_in(body.as_bytes()), Ok(None), "{body}");
        assert!(serde_json::from_str::<Payment>(body).is_err());
    }
    assert_eq!(found_in(b"\x1f\x8b\x08"), Ok(None));
}

#[test]
fn a_compressed_body_needs_its_key_in_the_head() {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    assert_eq!(config().key_of(None, &headers, b"\x1f\x8b\x08"), Err(KeyError::Unreadable));
    let key = IdempotencyKey::parse(b"order-1001").unwrap();
    assert_eq!(config().key_of(Some(key.clone()), &headers, b"\x1f\x8b\x08"), Ok(Some(key)));
    assert_eq!(Config::default().key_of(None, &headers, b"\x1f\x8b\x08"), Ok(None));
}
