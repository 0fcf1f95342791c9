//! An operation that a caller asks for.

use crate::attempt::Attempt;
use crate::fingerprint::Fingerprint;
use crate::key::{IdempotencyKey, Scope};
use crate::store::{Record, Reserve};

/// An operation that a caller asks for.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) key: IdempotencyKey,
    pub(crate) scope: Scope,
    pub(crate) reserve: Reserve,
    /// Its fingerprints under the other rules that a record may have been written under.
    pub(crate) others: Vec<Fingerprint>,
    /// The attempt that a layer outside makes under the same storage key.
    pub(crate) outer: Option<Attempt>,
    /// How many bytes it holds while it waits.
    pub(crate) bytes: usize,
    /// Whether the key counts already as a new one of its scope.
    pub(crate) is_counted: bool,
}

impl Wanted {
    /// Whether the record is of this operation, under any of the rules.
    pub(crate) fn is_of(&self, found: &Record) -> bool {
        found.fingerprint == self.reserve.fingerprint || self.others.contains(&found.fingerprint)
    }

    /// Whether the record is of this operation, under another rule than the one in force; from then on that one is.
    pub(crate) fn adopts(&mut self, found: &Record) -> bool {
        match self.others.iter_mut().find(|other| **other == found.fingerprint) {
            Some(other) => {
                std::mem::swap(other, &mut self.reserve.fingerprint);
                true
            }
            None => false,
        }
    }
}
