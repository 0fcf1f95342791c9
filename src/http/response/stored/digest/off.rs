//! The replacement of `Repr-Digest` while its feature is off.

use http::HeaderMap;

use super::StoredResponse;
use crate::record::outcome::StoredBody;

pub(super) fn add(_: StoredResponse, _: &HeaderMap, _: &StoredBody, _: &mut HeaderMap) {}

#[cfg(feature = "openapi")]
pub(super) fn is_added(_: StoredResponse) -> bool {
    false
}
