//! The internals that the fuzz targets in `fuzz/` use. Only fuzzing builds contain this module.
#![allow(missing_docs, clippy::unwrap_used)]

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::Empty;

use crate::http::body::ResponseBody;
use crate::http::grpc::Protocol;
use crate::record::fingerprint::{
    CanonicalBody, Fingerprint, Fingerprinting, Input, canonical, parse,
};
use crate::record::key::{IdempotencyKey, Scope, StorageKey};
use crate::record::outcome::{Outcome, StoredBody};
use crate::settings::{Config, OnFailed, Policies};
use crate::store::fuzzing::record_of;
use crate::store::pack::{EncryptionKeys, Of, Packing};
use crate::store::{Record, State, Token};

pub use crate::store::fuzzing::{audit_written_again, record_written_again, seen_and_settled};

/// Unpacks the outcome that a store has packed in this frame, as a layer with an encryption key
/// does. Then packs and unpacks it again.
pub fn unpacked_twice(frame: &[u8]) -> Option<(Outcome, Outcome)> {
    let packing =
        Packing { compress_above: Some(16), encryption: Some(EncryptionKeys::new(1, [1; 32])) };
    let key = IdempotencyKey::parse(b"fuzzing").unwrap();
    let key = StorageKey::derive(None, "", &Scope::anonymous(), &key);
    let fingerprint = Fingerprint::of_fields([""]);
    let read = |outcome| {
        let state = State::Success(outcome);
        let mut record = Record::new(fingerprint, 1, Token::new([0; 16]), state);
        packing.unpack(key, &mut record, LIMIT).ok()?;
        match record.state {
            State::Success(outcome) => Some(outcome),
            state => unreachable!("a success became {state:?}"),
        }
    };
    let once = read(Outcome::new(StatusCode::OK, StoredBody::Packed(frame.to_vec().into())))?;
    let of = Of { key, fingerprint, is_failure: false };
    let packed = *packing.pack(&of, &once).unwrap().unwrap();
    let again = read(packed).unwrap();
    Some((once, again))
}

/// The largest body that is unpacked, in bytes.
pub const LIMIT: usize = 1 << 16;

/// Returns the response that a client gets if a store contains this frame, and its expected body.
pub fn response_of_record(frame: &[u8]) -> Option<(Response<ResponseBody<Empty<Bytes>>>, Bytes)> {
    let policies = Policies { on_failed: OnFailed::Replay, ..Policies::default() };
    let config = Config { policies, max_response: LIMIT, ..Config::default() };
    let key = config.storage_key(&Scope::anonymous(), &IdempotencyKey::parse(b"fuzzing").unwrap());
    let record = config.unpack(&key, record_of(frame)?).ok()?;
    let reserve = config.requested(
        Scope::anonymous(),
        IdempotencyKey::parse(b"fuzzing").unwrap(),
        record.fingerprint,
    );
    Some(match crate::flow::decided(record, &reserve.reserve, &config)? {
        Ok(outcome) => {
            let body = Bytes::copy_from_slice(outcome.bytes());
            (config.replay(outcome, None), body)
        }
        Err(rejection) => {
            let body = rejection.render().into_body();
            (config.reject(&Protocol::of(&HeaderMap::new()), rejection), body)
        }
    })
}

pub fn canonical_json(text: &[u8]) -> Option<Vec<u8>> {
    canonical(&parse(text)?)
}

pub fn fingerprint_of_json(body: &[u8]) -> Fingerprint {
    let request =
        Request::post("/").header(header::CONTENT_TYPE, "application/json").body(()).unwrap();
    let mut fingerprinting = Fingerprinting::default();
    fingerprinting.rule = Some(CanonicalBody::json().into());
    fingerprinting.of(&Input::new(&request.into_parts().0, body)).own
}
