//! One shard of the memory store: the records, and the queue in which they expire.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::capacity::Capacity;
use super::claim::Claim;
use super::hash::Secret;
use super::sync::{Notify, OwnedNotified};
use crate::record::fingerprint::Fingerprint;
use crate::record::key::{ScopeDigest, StorageKey};
use crate::record::outcome::Outcome;
use crate::store::{Lease, Record, State, StoreError, StoreErrorKind, Token};

/// Times are the store's: durations since it was made.
pub(super) struct Shard {
    // Boxed, so that a map that grows by doubling does so in pointers and not in whole records.
    slots: HashMap<StorageKey, Box<Slot>, Secret>,
    // At least one place for each slot, at or before its expiry. A place is put right when its time
    // comes.
    expiries: BinaryHeap<Reverse<(Duration, StorageKey)>>,
}

pub(super) struct Slot {
    /// The share that the record counts in, from its first attempt on.
    pub(super) scope: ScopeDigest,
    pub(super) expires: Duration,
    pub(super) token: Token,
    pub(super) attempt: u32,
    pub(super) fingerprint: Fingerprint,
    pub(super) state: SlotState,
}

/// The state of the attempt, with its response in a frame.
#[derive(Clone)]
pub(super) enum SlotState {
    Pending { lapses: Duration, waiters: Option<Arc<Notify>> },
    Success(Bytes),
    Failed(Option<Bytes>),
}

impl Shard {
    pub(super) fn new(secret: Secret) -> Self {
        Self { slots: HashMap::with_hasher(secret), expiries: BinaryHeap::new() }
    }

    /// The record of the key, unless it has expired.
    pub(super) fn live(
        &mut self,
        key: &StorageKey,
        now: Duration,
        capacity: &Capacity,
    ) -> Option<&mut Slot> {
        if self.slots.get(key)?.expires <= now {
            self.remove(key, capacity);
            return None;
        }
        self.slots.get_mut(key).map(|slot| &mut **slot)
    }

    pub(super) fn insert(&mut self, key: &StorageKey, slot: Slot) {
        self.queue(slot.expires, *key);
        self.slots.insert(*key, Box::new(slot));
    }

    /// Ends the pending state of a record.
    pub(super) fn settle(&mut self, key: &StorageKey, state: SlotState, expires: Duration) {
        self.change(key, |slot| {
            slot.state = state;
            slot.expires = expires;
        });
    }

    /// Replaces the record by that of another attempt.
    pub(super) fn replace(&mut self, key: &StorageKey, by: Slot) {
        self.change(key, |slot| *slot = by);
    }

    /// Wakes the waiters of the record, and updates its place in the queue.
    fn change(&mut self, key: &StorageKey, change: impl FnOnce(&mut Slot)) {
        let Some(slot) = self.slots.get_mut(key) else {
            return;
        };
        let before = slot.expires;
        slot.wake();
        change(slot);
        let after = slot.expires;
        if after < before {
            self.queue(after, *key);
        }
    }

    pub(super) fn remove(&mut self, key: &StorageKey, capacity: &Capacity) {
        if let Some(slot) = self.slots.remove(key) {
            slot.wake();
            capacity.release(&slot.claim());
        }
    }

    /// Looks at no more than `most` places whose time has come, and removes expired records.
    /// Returns the number of places.
    pub(super) fn sweep(&mut self, now: Duration, most: usize, capacity: &Capacity) -> usize {
        for looked in 0..most {
            let Some(&Reverse((due, key))) = self.expiries.peek() else {
                return looked;
            };
            if due > now {
                return looked;
            }
            self.expiries.pop();
            match self.slots.get(&key) {
                Some(slot) if slot.expires > now => {
                    self.expiries.push(Reverse((slot.expires, key)));
                }
                Some(_) => self.remove(&key, capacity),
                None => {}
            }
        }
        most
    }

    pub(super) fn renew(&mut self, lease: &Lease, now: Duration) {
        if let Some(slot) = self.slots.get_mut(&lease.key) {
            slot.renew(lease, now);
        }
    }

    /// When the next record expires. A call corrects only a few places, so with many stale ones the
    /// time may be too early.
    pub(super) fn next_expiry(&mut self) -> Option<Duration> {
        for _ in 0..16 {
            let &Reverse((due, key)) = self.expiries.peek()?;
            let expires = self.slots.get(&key).map(|slot| slot.expires);
            if expires == Some(due) {
                return expires;
            }
            self.expiries.pop();
            if let Some(expires) = expires.filter(|expires| *expires > due) {
                self.expiries.push(Reverse((expires, key)));
            }
        }
        self.expiries.peek().map(|Reverse((due, _))| *due)
    }

    fn queue(&mut self, expires: Duration, key: StorageKey) {
        self.expiries.push(Reverse((expires, key)));
        // A key that is reserved and released again and again leaves places behind. They must not
        // add up.
        if self.expiries.len() > 2 * self.slots.len() + 64 {
            let places = self.slots.iter().map(|(key, slot)| Reverse((slot.expires, *key)));
            self.expiries = places.chain([Reverse((expires, key))]).collect();
        }
    }
}

impl Slot {
    pub(super) fn pending(lease: &Lease, now: Duration) -> Self {
        Self {
            scope: lease.scope,
            expires: now.saturating_add(lease.retention),
            token: lease.token,
            attempt: lease.attempt,
            fingerprint: lease.fingerprint,
            state: SlotState::Pending { lapses: now.saturating_add(lease.lease), waiters: None },
        }
    }

    /// The record that a released attempt leaves.
    pub(super) fn put_back(lease: &Lease, before: Record, now: Duration) -> Self {
        let Record { token, attempt, state, .. } = before;
        let state = match state {
            State::Failed(outcome) => SlotState::Failed(outcome.as_ref().map(frame)),
            State::Pending { .. } | State::Success(_) => {
                SlotState::Pending { lapses: now, waiters: None }
            }
        };
        Self { token, attempt, state, ..Self::pending(lease, now) }
    }

    pub(super) fn claim(&self) -> Claim {
        let Self { scope, expires, .. } = *self;
        Claim { scope, expires, bytes: Claim::bytes(self.state.len()) }
    }

    pub(super) fn is_pending_under(&self, lease: &Lease) -> bool {
        self.token == lease.token && matches!(self.state, SlotState::Pending { .. })
    }

    fn renew(&mut self, lease: &Lease, now: Duration) {
        if let SlotState::Pending { lapses, .. } = &mut self.state {
            *lapses = now.saturating_add(lease.lease);
            self.expires = now.saturating_add(lease.retention);
        }
    }

    pub(super) fn record(&self, now: Duration) -> Result<Record, StoreError> {
        let state = match &self.state {
            SlotState::Pending { lapses, .. } => State::Pending { abandoned: *lapses <= now },
            SlotState::Success(frame) => State::Success(outcome(frame)?),
            SlotState::Failed(frame) => State::Failed(frame.as_ref().map(outcome).transpose()?),
        };
        Ok(Record::new(self.fingerprint, self.attempt, self.token, state))
    }

    /// For a pending record: a future that resolves when it is settled, and when its lease lapses.
    pub(super) fn wait(&mut self) -> Option<(OwnedNotified, Duration)> {
        let SlotState::Pending { lapses, waiters } = &mut self.state else {
            return None;
        };
        // Made under the lock, it hears of every change from here on, polled or not.
        let settled = Arc::clone(waiters.get_or_insert_default()).notified_owned();
        Some((settled, *lapses))
    }

    fn wake(&self) {
        if let SlotState::Pending { waiters: Some(waiters), .. } = &self.state {
            waiters.notify_waiters();
        }
    }
}

impl SlotState {
    /// The length of the response, in bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Pending { .. } | Self::Failed(None) => 0,
            Self::Success(frame) | Self::Failed(Some(frame)) => frame.len(),
        }
    }
}

/// The frame in an allocation of its own size, because a record lives long.
pub(super) fn frame(outcome: &Outcome) -> Bytes {
    outcome.encode().into_boxed_slice().into()
}

fn outcome(frame: &Bytes) -> Result<Outcome, StoreError> {
    Outcome::decode(frame.clone())
        .map_err(|error| StoreError::with_source(StoreErrorKind::Corrupt, error))
}

#[cfg(test)]
mod tests;
