//! What may become of a record: each transition is one step under the lock of its shard.

use std::time::Duration;

use super::super::{ErrorKind, Lease, Reservation, Reserve, Seen, Settlement, StoreError};
use super::Inner;
#[cfg(all(test, idempotency_loom))]
use super::interleavings::sync::OwnedNotified;
use super::shard::{Kept, Shard, Slot};
#[cfg(not(all(test, idempotency_loom)))]
use super::sync::OwnedNotified;

impl Inner {
    pub(super) fn reserve(&self, request: &Reserve) -> Result<Reservation, StoreError> {
        let now = self.now();
        match self.try_reserve(request, now) {
            Err(error) if error.kind() == ErrorKind::Full => {
                self.sweep(now);
                self.try_reserve(request, now)
            }
            reservation => reservation,
        }
    }

    fn try_reserve(&self, request: &Reserve, now: Duration) -> Result<Reservation, StoreError> {
        let mut shard = self.shard(&request.key);
        // Two per reservation, so that the shard shrinks faster than it grows.
        shard.sweep(now, 2, &self.room);
        let Some(slot) = shard.live(&request.key, now, &self.room) else {
            self.room.admit()?;
            let lease = Lease::first(request, self.token());
            shard.insert(&lease.key, Slot::pending(&lease, now));
            return Ok(Reservation::Acquired(lease));
        };
        let found = slot.record(now)?;
        if !found.yields_to(request) {
            return Ok(Reservation::Found(found));
        }
        let lease = Lease::after(request, self.token(), &found);
        self.room.release_bytes(slot.kept.len());
        shard.replace(&lease.key, Slot::pending(&lease, now));
        Ok(Reservation::Acquired(lease))
    }

    /// Changes the record of the lease while it is pending.
    fn change(&self, lease: &Lease, change: impl FnOnce(&mut Shard, Duration)) -> Settlement {
        let now = self.now();
        let mut shard = self.shard(&lease.key);
        match shard.live(&lease.key, now, &self.room) {
            Some(slot) if slot.is_pending_under(lease) => {
                change(&mut shard, now);
                Settlement::Applied
            }
            _ => Settlement::LeaseLost,
        }
    }

    pub(super) fn release(&self, lease: &Lease) -> Settlement {
        self.change(lease, |shard, now| match lease.put_back() {
            None => shard.remove(&lease.key, &self.room),
            Some(before) => {
                let slot = Slot::put_back(lease, before, now);
                self.room.take_bytes(slot.kept.len());
                shard.replace(&lease.key, slot);
            }
        })
    }

    pub(super) fn renew(&self, lease: &Lease) -> Settlement {
        self.change(lease, |shard, now| shard.renew(lease, now))
    }

    /// If the record that was seen is still pending: what resolves when it is settled, and when its lease lapses.
    pub(super) fn wait(&self, seen: &Seen, now: Duration) -> Option<(OwnedNotified, Duration)> {
        match self.shard(&seen.key).live(&seen.key, now, &self.room) {
            Some(slot) if slot.token == seen.token => slot.wait(),
            _ => None,
        }
    }

    pub(super) fn keep(&self, lease: &Lease, kept: Kept, retention: Duration) -> Settlement {
        let now = self.now();
        let expires = now.saturating_add(retention);
        let mut shard = self.shard(&lease.key);
        match shard.live(&lease.key, now, &self.room) {
            // The record is gone and the key is free. The operation has run, so the limits do not count.
            None => {
                self.room.admit_over();
                self.room.take_bytes(kept.len());
                shard.insert(&lease.key, Slot { expires, kept, ..Slot::pending(lease, now) });
                Settlement::Applied
            }
            Some(slot) if slot.is_pending_under(lease) => {
                self.room.take_bytes(kept.len());
                shard.keep(&lease.key, kept, expires);
                Settlement::Applied
            }
            // The same write, sent a second time.
            Some(slot)
                if slot.token == lease.token
                    && std::mem::discriminant(&slot.kept) == std::mem::discriminant(&kept) =>
            {
                Settlement::Applied
            }
            Some(_) => Settlement::LeaseLost,
        }
    }
}
