//! What each scope uses of the memory store. A scope without records is not in the map.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::time::Duration;

use super::claim::Claim;
use super::hash::Secret;
use super::hold;
use super::limits::Limit;
use super::second::Second;
use super::sync::{Mutex, MutexGuard};
use crate::record::key::ScopeDigest;

/// In parts, so that scopes seldom wait for one another.
pub(super) struct Shares {
    parts: Box<[Mutex<Part>]>,
    secret: Secret,
}

type Part = HashMap<ScopeDigest, Share, Secret>;

#[derive(Default)]
struct Share {
    records: usize,
    bytes: usize,
    expiries: Expiries,
}

/// The share of one scope, locked.
pub(super) struct HeldShare<'a> {
    part: MutexGuard<'a, Part>,
    scope: ScopeDigest,
}

impl Shares {
    pub(super) fn new(parts: usize, secret: Secret) -> Self {
        Self {
            parts: (0..parts).map(|_| Mutex::new(HashMap::with_hasher(secret))).collect(),
            secret,
        }
    }

    /// `None` if the callers are not distinguished.
    pub(super) fn of(&self, scope: ScopeDigest) -> Option<HeldShare<'_>> {
        if scope == ScopeDigest::UNSET {
            return None;
        }
        Some(HeldShare { part: hold(&self.parts[self.index(scope)]), scope })
    }

    #[allow(clippy::cast_possible_truncation)] // Any bits of the hash will do.
    pub(super) fn index(&self, scope: ScopeDigest) -> usize {
        (self.secret.hash_one(scope) >> 32) as usize & (self.parts.len() - 1)
    }

    /// How many scopes there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| hold(part).len()).sum()
    }
}

impl HeldShare<'_> {
    pub(super) fn scope(&self) -> ScopeDigest {
        self.scope
    }

    pub(super) fn fits(&self, records: usize, bytes: usize, limit: &Limit) -> bool {
        let (used_records, used_bytes) =
            self.part.get(&self.scope).map_or((0, 0), |share| (share.records, share.bytes));
        used_records.saturating_add(records) <= limit.records
            && used_bytes.saturating_add(bytes) <= limit.bytes
    }

    pub(super) fn add(&mut self, claim: &Claim) {
        let share = self.part.entry(self.scope).or_default();
        share.records += 1;
        share.bytes += claim.bytes;
        share.expiries.add(claim.expires);
    }

    pub(super) fn replace(&mut self, before: &Claim, after: &Claim) {
        if let Some(share) = self.part.get_mut(&self.scope) {
            share.bytes = share.bytes - before.bytes + after.bytes;
            share.expiries.replace(before.expires, after.expires);
        }
    }

    pub(super) fn remove(&mut self, claim: &Claim) {
        if let Some(share) = self.part.get_mut(&self.scope) {
            share.records -= 1;
            share.bytes -= claim.bytes;
            share.expiries.remove(claim.expires);
            if share.records == 0 {
                self.part.remove(&self.scope);
            }
        }
    }

    /// How many scopes there are in its map, and for how many there is a place without growth.
    #[cfg(test)]
    pub(super) fn map_size(&self) -> (usize, usize) {
        (self.part.len(), self.part.capacity())
    }

    /// When the next record of the scope expires, rounded up to a second.
    pub(super) fn next_expiry(&self) -> Option<Duration> {
        self.part.get(&self.scope)?.expiries.first()
    }
}

/// How many records expire in which second, in order. Most records are added at the end and removed
/// at the front, which costs the same however many there are.
#[derive(Default)]
struct Expiries(VecDeque<(Second, u32)>);

impl Expiries {
    fn add(&mut self, expires: Duration) {
        let second = Second::of(expires);
        match self.find(second) {
            Ok(index) => self.0[index].1 += 1,
            Err(index) => self.0.insert(index, (second, 1)),
        }
    }

    fn replace(&mut self, before: Duration, after: Duration) {
        if Second::of(before) != Second::of(after) {
            self.remove(before);
            self.add(after);
        }
    }

    fn remove(&mut self, expires: Duration) {
        let Ok(index) = self.find(Second::of(expires)) else {
            return;
        };
        self.0[index].1 -= 1;
        if self.0[index].1 == 0 {
            self.0.remove(index);
        }
    }

    fn first(&self) -> Option<Duration> {
        self.0.front().map(|(second, _)| second.time())
    }

    fn find(&self, second: Second) -> Result<usize, usize> {
        self.0.binary_search_by_key(&second, |(second, _)| *second)
    }
}
