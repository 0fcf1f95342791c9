//! The bounds of the memory store: how many records and bytes there are, over all shards.

use std::sync::atomic::Ordering;

use super::super::{ErrorKind, StoreError};
use super::sync::AtomicUsize;

/// What a record takes without its answer: slot, key, its place in the map and in the queue of expiries, each with
/// the slack of a collection that grows by doubling.
pub(super) const RECORD: usize = 320;

/// Counts records and bytes. Relaxed ordering will do: the counters guard no other memory.
pub(super) struct Room {
    records: AtomicUsize,
    answers: AtomicUsize,
    max_records: AtomicUsize,
    max_bytes: AtomicUsize,
}

impl Room {
    pub(super) fn new(max_records: usize, max_bytes: usize) -> Self {
        Self {
            records: AtomicUsize::new(0),
            answers: AtomicUsize::new(0),
            max_records: AtomicUsize::new(max_records),
            max_bytes: AtomicUsize::new(max_bytes),
        }
    }

    pub(super) fn set_max_records(&self, records: usize) {
        self.max_records.store(records, Ordering::Relaxed);
    }

    pub(super) fn set_max_bytes(&self, bytes: usize) {
        self.max_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn records(&self) -> usize {
        self.records.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> usize {
        bytes(self.records(), self.answers.load(Ordering::Relaxed))
    }

    /// Counts one more record in, if there is room for it.
    pub(super) fn admit(&self) -> Result<(), StoreError> {
        let max_records = self.max_records.load(Ordering::Relaxed);
        let max_bytes = self.max_bytes.load(Ordering::Relaxed);
        let answers = self.answers.load(Ordering::Relaxed);
        let admitted = self.records.try_update(Ordering::Relaxed, Ordering::Relaxed, |records| {
            let fits = records < max_records && bytes(records + 1, answers) <= max_bytes;
            fits.then_some(records + 1)
        });
        match admitted {
            Ok(_) => Ok(()),
            Err(_) => Err(StoreError::new(ErrorKind::Full)),
        }
    }

    /// Counts one more record in, whether or not there is room for it.
    pub(super) fn admit_over(&self) {
        self.records.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a record out, and its answer.
    pub(super) fn release(&self, answer: usize) {
        self.records.fetch_sub(1, Ordering::Relaxed);
        self.release_bytes(answer);
    }

    pub(super) fn take_bytes(&self, answer: usize) {
        self.answers.fetch_add(answer, Ordering::Relaxed);
    }

    pub(super) fn release_bytes(&self, answer: usize) {
        self.answers.fetch_sub(answer, Ordering::Relaxed);
    }
}

fn bytes(records: usize, answers: usize) -> usize {
    records.saturating_mul(RECORD).saturating_add(answers)
}
