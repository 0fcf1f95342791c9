//! One shard of the memory store: the records, and the queue in which they expire.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use super::capacity::Capacity;
use super::hash::Secret;
use super::slot::Slot;
use crate::record::key::StorageKey;
use crate::store::Lease;

pub(super) struct Shard {
    // Boxed, so that a map that grows by doubling does so in pointers and not in whole records.
    slots: HashMap<Name, Box<Slot>, Secret>,
    // At least one place for each slot, at or before its expiry. A place is put right when its time
    // comes.
    expiries: BinaryHeap<Reverse<Place>>,
}

/// Half of a storage key, because each record has it twice. Two keys with the same half take 2^64
/// attempts to find, and then both are the searcher's own.
type Name = [u8; 16];

/// Nanoseconds, because half of a `Duration` is padding.
type Place = (u64, Name);

fn place(expires: Duration, name: Name) -> Place {
    (u64::try_from(expires.as_nanos()).unwrap_or(u64::MAX), name)
}

fn name(key: &StorageKey) -> Name {
    std::array::from_fn(|index| key.as_bytes()[index])
}

/// Times are the store's: durations since it was made.
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
        let name = name(key);
        if self.slots.get(&name)?.expires <= now {
            self.take_out(&name, capacity);
            return None;
        }
        self.slots.get_mut(&name).map(|slot| &mut **slot)
    }

    pub(super) fn insert(&mut self, key: &StorageKey, slot: Slot) {
        let name = name(key);
        self.queue(slot.expires, name);
        self.slots.insert(name, Box::new(slot));
    }

    /// Replaces the record by that of another attempt, and wakes its waiters. The key stays reserved
    /// since the first attempt.
    pub(super) fn replace(&mut self, key: &StorageKey, by: Slot) {
        if let Some(slot) = self.slots.get_mut(&name(key)) {
            slot.wake();
            let (before, after) = (slot.expires, by.expires);
            **slot = Slot { reserved: slot.reserved, ..by };
            self.changed(key, before, after);
        }
    }

    /// Gives a record that now expires sooner another place in the queue.
    pub(super) fn changed(&mut self, key: &StorageKey, before: Duration, after: Duration) {
        if after < before {
            self.queue(after, name(key));
        }
    }

    pub(super) fn remove(&mut self, key: &StorageKey, capacity: &Capacity) {
        self.take_out(&name(key), capacity);
    }

    fn take_out(&mut self, name: &Name, capacity: &Capacity) {
        if let Some(slot) = self.slots.remove(name) {
            slot.wake();
            capacity.release(&slot.claim());
        }
    }

    /// Looks at no more than `most` places whose time has come, and removes expired records.
    /// Returns the number of places.
    pub(super) fn sweep(&mut self, now: Duration, most: usize, capacity: &Capacity) -> usize {
        for looked in 0..most {
            let Some(&Reverse((due, name))) = self.expiries.peek() else {
                return looked;
            };
            if Duration::from_nanos(due) > now {
                return looked;
            }
            self.expiries.pop();
            match self.slots.get(&name) {
                Some(slot) if slot.expires > now => {
                    self.expiries.push(Reverse(place(slot.expires, name)));
                }
                Some(_) => self.take_out(&name, capacity),
                None => {}
            }
        }
        most
    }

    pub(super) fn renew(&mut self, lease: &Lease, now: Duration) {
        if let Some(slot) = self.slots.get_mut(&name(&lease.key)) {
            slot.renew(lease, now);
        }
    }

    /// When the next record expires. A call corrects only a few places, so with many stale ones the
    /// time may be too early.
    pub(super) fn next_expiry(&mut self) -> Option<Duration> {
        for _ in 0..16 {
            let &Reverse(first) = self.expiries.peek()?;
            let (_, name) = first;
            let right = self.slots.get(&name).map(|slot| place(slot.expires, name));
            if right == Some(first) {
                break;
            }
            self.expiries.pop();
            if let Some(right) = right.filter(|right| *right > first) {
                self.expiries.push(Reverse(right));
            }
        }
        self.expiries.peek().map(|Reverse((due, _))| Duration::from_nanos(*due))
    }

    /// The records that have not expired.
    pub(super) fn all(&self, now: Duration) -> impl Iterator<Item = &Slot> {
        self.slots.values().map(|slot| &**slot).filter(move |slot| slot.expires > now)
    }

    /// How many records there are, and for how many there is a place without growth.
    #[cfg(test)]
    pub(super) fn map_size(&self) -> (usize, usize) {
        (self.slots.len(), self.slots.capacity())
    }

    fn queue(&mut self, expires: Duration, name: Name) {
        let new = Reverse(place(expires, name));
        self.expiries.push(new);
        // A key that is reserved and released again and again leaves places behind. They must not
        // add up.
        if self.expiries.len() > 2 * self.slots.len() + 64 {
            let places = self.slots.iter().map(|(name, slot)| Reverse(place(slot.expires, *name)));
            self.expiries = places.chain([new]).collect();
        }
    }
}

#[cfg(test)]
mod tests;
