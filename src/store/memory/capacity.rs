//! The capacity of the memory store: how many records and bytes it contains, in all and for each
//! scope.

use std::sync::atomic::Ordering;

use super::claim::{Claim, RECORD};
use super::hash::Secret;
use super::limits::{Limit, Limits};
use super::share::{HeldShare, Shares};
use super::sync::AtomicUsize;
use crate::store::{StoreError, StoreErrorKind};

/// Counts records and bytes. Relaxed ordering is enough, because the counters guard no other
/// memory. A share is locked after a shard, and never before one.
pub(super) struct Capacity {
    records: AtomicUsize,
    bytes: AtomicUsize,
    pub(super) shares: Shares,
    pub(super) limits: Limits,
}

impl Capacity {
    /// `parts` is a power of two.
    pub(super) fn new(parts: usize, secret: Secret, limits: Limits) -> Self {
        Self {
            records: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            shares: Shares::new(parts, secret),
            limits,
        }
    }

    pub(super) fn records(&self) -> usize {
        self.records.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Adds a new record, if it fits into the share of its scope and into the store.
    pub(super) fn admit(&self, new: &Claim) -> Result<(), StoreError> {
        let share = self.shares.of(new.scope);
        self.check(share.as_ref(), 1, new.bytes)?;
        let limit = self.limits.of_store();
        take(&self.records, 1, limit.records)?;
        take(&self.bytes, new.bytes, limit.bytes).inspect_err(|_| give_back(&self.records, 1))?;
        add(share, new);
        Ok(())
    }

    /// Adds a record that was gone although its operation has run. It is accepted above the limits,
    /// but its response has to fit.
    pub(super) fn admit_late(&self, new: &Claim) -> Result<(), StoreError> {
        let share = self.shares.of(new.scope);
        if new.bytes > RECORD {
            self.check(share.as_ref(), 0, new.bytes)?;
            take(&self.bytes, new.bytes, self.limits.of_store().bytes)?;
        } else {
            self.bytes.fetch_add(new.bytes, Ordering::Relaxed);
        }
        self.records.fetch_add(1, Ordering::Relaxed);
        add(share, new);
        Ok(())
    }

    /// Counts a record that changes. It can fail only if the record grows.
    pub(super) fn replace(&self, before: &Claim, after: &Claim) -> Result<(), StoreError> {
        if before == after {
            return Ok(());
        }
        let share = self.shares.of(before.scope);
        match after.bytes.checked_sub(before.bytes) {
            Some(0) => {}
            Some(more) => {
                self.check(share.as_ref(), 0, more)?;
                take(&self.bytes, more, self.limits.of_store().bytes)?;
            }
            None => give_back(&self.bytes, before.bytes - after.bytes),
        }
        if let Some(mut share) = share {
            share.replace(before, after);
        }
        Ok(())
    }

    /// Subtracts a record.
    pub(super) fn release(&self, old: &Claim) {
        let share = self.shares.of(old.scope);
        give_back(&self.records, 1);
        give_back(&self.bytes, old.bytes);
        if let Some(mut share) = share {
            share.remove(old);
        }
    }

    fn check(
        &self,
        share: Option<&HeldShare<'_>>,
        records: usize,
        bytes: usize,
    ) -> Result<(), StoreError> {
        match share {
            Some(share) if !share.fits(records, bytes, &self.limit_of(share)) => {
                Err(StoreError::new(StoreErrorKind::ScopeFull))
            }
            _ => Ok(()),
        }
    }

    fn limit_of(&self, share: &HeldShare<'_>) -> Limit {
        self.limits.of_scope(share.scope())
    }
}

fn add(share: Option<HeldShare<'_>>, claim: &Claim) {
    if let Some(mut share) = share {
        share.add(claim);
    }
}

fn take(counter: &AtomicUsize, more: usize, limit: usize) -> Result<(), StoreError> {
    let fits = |count: usize| count.checked_add(more).filter(|sum| *sum <= limit);
    match counter.try_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
        Ok(_) => Ok(()),
        Err(_) => Err(StoreError::new(StoreErrorKind::Full)),
    }
}

fn give_back(counter: &AtomicUsize, less: usize) {
    counter.fetch_sub(less, Ordering::Relaxed);
}
