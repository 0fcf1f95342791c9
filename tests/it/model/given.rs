//! What the steps of a case stand for.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tower_idempotency::store::{NotRetained, Outcome, StorageKey, StoredBody};
use tower_idempotency::{Fingerprint, IdempotencyKey, Scope};

use super::steps::{Answer, Ask, RerunFailed, Ticks};

/// Asks for nothing but to see what is there.
pub(super) fn look(key: u8) -> Ask {
    Ask {
        key,
        fingerprint: 2,
        lease: Ticks(1),
        beyond: Ticks(1),
        retry_failed: RerunFailed::Never,
        retry_abandoned: false,
    }
}

/// A key that no other case has.
pub(super) fn fresh_key() -> StorageKey {
    static KEYS: AtomicU64 = AtomicU64::new(0);
    let number = KEYS.fetch_add(1, Ordering::Relaxed).to_string();
    StorageKey::derive(None, "model", &Scope::anonymous(), &IdempotencyKey::parse(number.as_bytes()).unwrap())
}

/// The fingerprint of one of a few requests.
pub(super) fn fingerprint(number: u8) -> Fingerprint {
    Fingerprint::of_request(&Method::POST, "/", &HeaderMap::new(), &[], &[number])
}

/// An answer like no other step's.
pub(super) fn outcome(answer: Answer, step: usize) -> Outcome {
    let mut headers = HeaderMap::new();
    headers.insert("x-step", HeaderValue::from(step));
    let trailers = answer.adorned.then(|| headers.clone());
    let body = match answer.bytes {
        None => StoredBody::NotRetained(NotRetained::Streamed),
        Some(length) => {
            let mut bytes = step.to_le_bytes().repeat(length.div_ceil(8));
            bytes.truncate(length);
            StoredBody::Whole { bytes: Bytes::from(bytes), trailers }
        }
    };
    Outcome::new(StatusCode::from_u16(answer.status).unwrap(), body)
        .headers(if answer.adorned { headers } else { HeaderMap::new() })
        .request_id(answer.adorned.then(|| HeaderValue::from(step)))
}
