//! Responses and records for the tests of packing.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{Of, Packing};
use crate::record::fingerprint::Fingerprint;
use crate::record::key::{IdempotencyKey, Scope, StorageKey};
use crate::record::outcome::{Outcome, StoredBody};
use crate::store::{Record, State, StoreError, StoreErrorKind, Token};

pub(super) const LIMIT: usize = 1 << 20;
pub(super) const BODY: &str =
    "a card number, 4242 4242 4242 4242, and more of the same, 4242 4242 4242 4242";

pub(super) fn key(text: &str) -> StorageKey {
    let key = IdempotencyKey::parse(text.as_bytes()).unwrap();
    StorageKey::derive(None, "test", &Scope::anonymous(), &key)
}

pub(super) fn of() -> Of {
    Of { key: key("order-1001"), fingerprint: Fingerprint::of_fields(["one"]), is_failure: false }
}

pub(super) fn response(body: impl Into<Bytes>) -> Outcome {
    let mut headers = HeaderMap::new();
    headers.insert(header::LOCATION, HeaderValue::from_static("/cards/secret-card"));
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static("secret-sum"));
    let body = StoredBody::Whole { bytes: body.into(), trailers: Some(Box::new(trailers)) };
    let request_id = Some(HeaderValue::from_static("request-77"));
    Outcome { headers, request_id, ..Outcome::new(StatusCode::CREATED, body) }
}

fn record(of: &Of, outcome: Outcome) -> Record {
    let state = if of.is_failure { State::Failed(Some(outcome)) } else { State::Success(outcome) };
    Record::new(of.fingerprint, 1, Token::new([0; 16]), state)
}

pub(super) fn read(packing: &Packing, of: &Of, outcome: Outcome) -> Result<Outcome, StoreError> {
    let mut record = record(of, outcome);
    packing.unpack(of.key, &mut record, LIMIT)?;
    match record.state {
        State::Success(outcome) | State::Failed(Some(outcome)) => Ok(outcome),
        state => panic!("the response is gone: {state:?}"),
    }
}

pub(super) fn error_kind(packing: &Packing, of: &Of, outcome: Outcome) -> StoreErrorKind {
    read(packing, of, outcome).unwrap_err().kind()
}

/// The outcome as a store is given it.
pub(super) fn packed(packing: &Packing, of: &Of, outcome: &Outcome) -> Outcome {
    packing.pack(of, outcome).unwrap().map_or_else(|| outcome.clone(), |packed| *packed)
}
