//! `Repr-Digest` (RFC 9530): a digest in place of a body that is not stored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::StoredResponse;
use crate::record::outcome::StoredBody;

const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// Adds the digest of the captured body, or the digests that the handler set. A body that was
/// streamed or too large was not captured, and gets no digest.
pub(super) fn add(
    level: StoredResponse,
    original: &HeaderMap,
    body: &StoredBody,
    stored: &mut HeaderMap,
) {
    if !is_added(level) {
        return;
    }
    stored.remove(REPR_DIGEST);
    if original.contains_key(REPR_DIGEST) {
        for value in original.get_all(REPR_DIGEST) {
            stored.append(REPR_DIGEST, value.clone());
        }
        return;
    }
    if let StoredBody::Whole { bytes, .. } = body
        && !bytes.is_empty()
    {
        let value = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(bytes)));
        if let Ok(value) = HeaderValue::try_from(value) {
            stored.insert(REPR_DIGEST, value);
        }
    }
}

/// Whether this level stores a digest.
pub(super) fn is_added(level: StoredResponse) -> bool {
    level == StoredResponse::Digest
}
