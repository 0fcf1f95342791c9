//! What the checks work with: responses, keys, fingerprints, and a lease that was never given out.

use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use crate::record::fingerprint::Fingerprint;
use crate::record::key::{IdempotencyKey, Scope, ScopeDigest, StorageKey};
use crate::record::outcome::{Outcome, StoredBody};
use crate::store::{Lease, Token};

/// A response with a text for its body.
pub(super) fn response(status: u16, body: &'static str) -> Outcome {
    response_with(status, Bytes::from_static(body.as_bytes()))
}

/// A response that a store may store in another way than a small one: 9 KiB of one byte.
pub(super) fn large_response(status: u16, byte: u8) -> Outcome {
    response_with(status, Bytes::from(vec![byte; 9 << 10]))
}

pub(super) fn response_with(status: u16, bytes: Bytes) -> Outcome {
    let status = StatusCode::from_u16(status).expect("the suite uses valid statuses");
    Outcome::new(status, StoredBody::Whole { bytes, trailers: None })
}

/// The lease with another token.
pub(super) fn forged(lease: &Lease) -> Lease {
    let token = Token::new(lease.token.as_bytes().map(|byte| !byte));
    Lease { token, ..lease.clone() }
}

/// The id of a change of the record that has this token. The same change has the same id.
pub(super) fn by_hand(token: Token) -> Token {
    Token::new(token.as_bytes().map(|byte| byte ^ 0x5a))
}

/// The lease whose record an operator has settled.
pub(super) fn settled_by_hand(lease: &Lease) -> Lease {
    Lease { token: by_hand(lease.token), ..lease.clone() }
}

/// A key that no other check, run or process has.
pub(super) fn fresh_key() -> StorageKey {
    let [a, b] = [(); 2].map(|()| RandomState::new().hash_one(0));
    let key = IdempotencyKey::parse(format!("{a:016x}{b:016x}").as_bytes());
    StorageKey::derive(
        None,
        "conformance",
        &Scope::anonymous(),
        &key.expect("hexadecimal digits are a key"),
    )
}

/// A scope that a store with limits gives a share.
pub(super) fn scope() -> ScopeDigest {
    ScopeDigest::of(None, &Scope::new("conformance"))
}

pub(super) fn fingerprint(body: &str) -> Fingerprint {
    Fingerprint::of_request(&Method::POST, "/conformance", &HeaderMap::new(), &[], body.as_bytes())
}
