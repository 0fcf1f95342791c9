//! `Repr-Digest` (RFC 9530): a digest in place of a body that is not kept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::StoredResponse;
use crate::record::outcome::StoredBody;

const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// Adds the digest of the body that was captured, or the digests that the handler gave. A body that was not captured,
/// for it was streamed or too large, has none.
pub(super) fn add(keep: StoredResponse, original: &HeaderMap, body: &StoredBody, kept: &mut HeaderMap) {
    if keep != StoredResponse::Digest {
        return;
    }
    kept.remove(REPR_DIGEST);
    if original.contains_key(REPR_DIGEST) {
        for value in original.get_all(REPR_DIGEST) {
            kept.append(REPR_DIGEST, value.clone());
        }
        return;
    }
    if let StoredBody::Whole { bytes, .. } = body
        && !bytes.is_empty()
    {
        let value = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(bytes)));
        if let Ok(value) = HeaderValue::try_from(value) {
            kept.insert(REPR_DIGEST, value);
        }
    }
}
