//! What one record counts for in the memory store.

use std::time::Duration;

use crate::record::key::ScopeDigest;

/// What every record counts for: slot, key, its place in the map, in the queue of expiries and in
/// the share of its scope, each with the slack of a collection that grows by doubling; and
/// [`SPARE`].
pub(super) const RECORD: usize = 352 + SPARE;

/// What a response may take that is counted already. One without its body fits, so it is stored
/// when the store is full, too.
const SPARE: usize = 224;

/// One record as it is counted: its scope, its expiry and its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) scope: ScopeDigest,
    pub(super) expires: Duration,
    pub(super) bytes: usize,
}

impl Claim {
    /// The bytes of a record with a response of so many bytes.
    pub(super) fn bytes(response: usize) -> usize {
        RECORD + response.saturating_sub(SPARE)
    }
}
