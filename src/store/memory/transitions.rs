//! The transitions of a record. Each is one step under the lock of its shard.

use std::time::Duration;

use super::Inner;
use super::claim::Claim;
#[cfg(all(test, idempotency_loom))]
use super::interleavings::sync::OwnedNotified;
use super::shard::Shard;
use super::slot::{Slot, SlotState};
#[cfg(not(all(test, idempotency_loom)))]
use super::sync::OwnedNotified;
use crate::record::key::{ScopeDigest, StorageKey};
use crate::store::{
    Lease, PendingRef, Reservation, ReserveRequest, Settlement, StoreError, StoreErrorKind,
};

impl Inner {
    pub(super) fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        self.swept_if_full(&request.key, request.scope, |now| self.try_reserve(request, now))
    }

    fn try_reserve(
        &self,
        request: &ReserveRequest,
        now: Duration,
    ) -> Result<Reservation, StoreError> {
        let mut shard = self.shard(&request.key);
        // Two per reservation, so that the shard shrinks faster than it grows.
        shard.sweep(now, 2, &self.capacity);
        let Some(slot) = shard.live(&request.key, now, &self.capacity) else {
            let lease = self.limited(Lease::first(request, self.token()));
            let slot = Slot::pending(&lease, now);
            self.capacity.admit(&slot.claim())?;
            shard.insert(&lease.key, slot);
            drop(shard);
            self.sweep_in_turn(now);
            return Ok(Reservation::Acquired(lease));
        };
        let found = slot.record(now)?;
        if !found.yields_to(request) {
            return Ok(Reservation::Found(found));
        }
        let lease = self.limited(Lease::after(request, self.token(), &found));
        let by = Slot { scope: slot.scope, ..Slot::pending(&lease, now) };
        self.capacity.replace(&slot.claim(), &by.claim())?;
        shard.replace(&lease.key, by);
        Ok(Reservation::Acquired(lease))
    }

    /// The lease with the retention that the limits leave.
    fn limited(&self, lease: Lease) -> Lease {
        let retention = self.capacity.limits.retention(lease.scope, lease.lease, lease.retention);
        Lease { retention, ..lease }
    }

    /// Takes a step. If there is no capacity for it, removes expired records and takes it again.
    fn swept_if_full<T>(
        &self,
        key: &StorageKey,
        scope: ScopeDigest,
        mut step: impl FnMut(Duration) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let now = self.now();
        let error = match step(now) {
            Err(error) if self.next_expiry(&error, scope, now).is_some_and(|next| next <= now) => {
                self.sweep(key, now);
                match step(now) {
                    Err(error) => error,
                    done => return done,
                }
            }
            Err(error) => error,
            done => return done,
        };
        // Tells a rejected caller when it is worth another request.
        Err(match self.next_expiry(&error, scope, now) {
            Some(next) => error.retry_after(next.saturating_sub(now).max(SOONEST)),
            None => error,
        })
    }

    /// When the next record expires: of the scope if its share is used up, else of the store.
    fn next_expiry(
        &self,
        error: &StoreError,
        scope: ScopeDigest,
        now: Duration,
    ) -> Option<Duration> {
        match error.kind() {
            StoreErrorKind::ScopeFull => self.capacity.shares.of(scope)?.next_expiry(),
            StoreErrorKind::Full => self.next_of_all(now),
            _ => None,
        }
    }

    /// Changes the record of the lease while it is pending.
    fn change(
        &self,
        lease: &Lease,
        change: impl FnOnce(&mut Shard, &Claim, Duration) -> Result<(), StoreError>,
    ) -> Result<Settlement, StoreError> {
        let now = self.now();
        let mut shard = self.shard(&lease.key);
        match shard.live(&lease.key, now, &self.capacity) {
            Some(slot) if slot.is_pending_under(lease) => {
                let before = slot.claim();
                change(&mut shard, &before, now)?;
                Ok(Settlement::Applied)
            }
            _ => Ok(Settlement::LeaseLost),
        }
    }

    pub(super) fn release(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        self.change(lease, |shard, before, now| {
            match lease.put_back() {
                None => shard.remove(&lease.key, &self.capacity),
                Some(record) => {
                    let by = Slot { scope: before.scope, ..Slot::put_back(lease, record, now) };
                    self.capacity.replace(before, &by.claim())?;
                    shard.replace(&lease.key, by);
                }
            }
            Ok(())
        })
    }

    pub(super) fn renew(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        self.change(lease, |shard, before, now| {
            let after = Claim { expires: now.saturating_add(lease.retention), ..*before };
            self.capacity.replace(before, &after)?;
            shard.renew(lease, now);
            Ok(())
        })
    }

    /// If the record that was seen is still pending: a future that resolves when it is settled, and
    /// when its lease lapses.
    pub(super) fn wait(
        &self,
        seen: &PendingRef,
        now: Duration,
    ) -> Option<(OwnedNotified, Duration)> {
        match self.shard(&seen.key).live(&seen.key, now, &self.capacity) {
            Some(slot) if slot.token == seen.token => slot.wait(),
            _ => None,
        }
    }

    pub(super) fn settle(
        &self,
        lease: &Lease,
        mut state: SlotState,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        let retention = self.capacity.limits.retention(lease.scope, lease.lease, retention);
        self.swept_if_full(&lease.key, lease.scope, |now| {
            self.try_settle(lease, &mut state, retention, now)
        })
    }

    /// Leaves `state` as it is if there is no capacity for it.
    fn try_settle(
        &self,
        lease: &Lease,
        state: &mut SlotState,
        retention: Duration,
        now: Duration,
    ) -> Result<Settlement, StoreError> {
        let expires = now.saturating_add(retention);
        let bytes = Claim::bytes(state.len());
        let mut shard = self.shard(&lease.key);
        match shard.live(&lease.key, now, &self.capacity) {
            // The record is gone and the key is free.
            None => {
                let mut slot = Slot::pending(lease, now);
                self.capacity.admit_late(&Claim { expires, bytes, ..slot.claim() })?;
                slot.settle(state, expires, now);
                shard.insert(&lease.key, slot);
                Ok(Settlement::Applied)
            }
            Some(slot) if slot.is_pending_under(lease) => {
                let before = slot.claim();
                self.capacity.replace(&before, &Claim { expires, bytes, ..before })?;
                slot.settle(state, expires, now);
                shard.changed(&lease.key, before.expires, expires);
                Ok(Settlement::Applied)
            }
            // The same write, sent a second time.
            Some(slot)
                if slot.token == lease.token
                    && std::mem::discriminant(&slot.state) == std::mem::discriminant(state) =>
            {
                Ok(Settlement::Applied)
            }
            Some(_) => Ok(Settlement::LeaseLost),
        }
    }
}

/// What `Retry-After` says at least.
const SOONEST: Duration = Duration::from_secs(1);
