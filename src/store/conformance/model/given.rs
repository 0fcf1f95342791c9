//! The requests and responses that the steps of a walk name.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::steps::{Ask, RerunFailed, Response, Ticks};
use crate::record::outcome::{NotRetained, Outcome, StoredBody};

/// Asks only to see the record.
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

/// A response that differs from the response of every other step.
pub(super) fn outcome(response: Response, step: usize) -> Outcome {
    let mut headers = HeaderMap::new();
    headers.insert("x-step", HeaderValue::from(step));
    let trailers = response.adorned.then(|| Box::new(headers.clone()));
    let body = match response.bytes {
        None => StoredBody::NotRetained(NotRetained::Streamed),
        Some(length) => {
            let mut bytes = step.to_le_bytes().repeat(length.div_ceil(8));
            bytes.truncate(length);
            StoredBody::Whole { bytes: Bytes::from(bytes), trailers }
        }
    };
    let status = StatusCode::from_u16(response.status).unwrap_or_default();
    let outcome = Outcome::new(status, body);
    if response.adorned {
        outcome.headers(headers).request_id(HeaderValue::from(step))
    } else {
        outcome
    }
}
