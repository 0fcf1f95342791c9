//! The record that guards an attempt, and what the layer knows about its lease.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::Notify;

use super::Attempt;
use crate::record::key::StorageKey;
use crate::store::{Record, State, Token};

/// The record that guards an attempt.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    pub(super) token: Token,
    /// The layer that makes the attempt: see `Shared::id`.
    pub(super) layer: Weak<()>,
    pub(super) lease: Arc<Standing>,
}

/// Whether a lease still stands (once it does not, it never does again), and what the operation
/// said of it.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// The attempt has ended and is being written down; what a renewal finds from now on may be that very record.
    settling: AtomicBool,
    pub(super) lost: AtomicBool,
    /// The operation said that another transaction was in its way.
    pub(super) conflict: AtomicBool,
    pub(super) told: Notify,
}

impl Attempt {
    pub(crate) fn has_conflict(&self) -> bool {
        self.standing().is_some_and(|lease| lease.conflict.load(Ordering::Acquire))
    }

    /// Whether the attempt runs, and a record under this key guards it.
    pub(crate) fn runs_under(&self, key: &StorageKey) -> bool {
        self.guard.is_some() && self.downstream.operation == *key && !self.is_settling()
    }

    /// Whether this layer, or a clone of it, makes the attempt.
    pub(crate) fn is_of_layer(&self, id: &Arc<()>) -> bool {
        self.guard.as_ref().is_some_and(|guard| std::ptr::eq(guard.layer.as_ptr(), Arc::as_ptr(id)))
    }

    /// Whether this is the pending record that guards the attempt. Tokens do not repeat, so it is in the same store.
    pub(crate) fn is_of(&self, record: &Record) -> bool {
        let is_pending = matches!(record.state, State::Pending { .. });
        is_pending && self.guard.as_ref().is_some_and(|guard| guard.token == record.token)
    }

    pub(super) fn standing(&self) -> Option<&Standing> {
        self.guard.as_ref().map(|guard| &*guard.lease)
    }

    pub(crate) fn begin_settling(&self) {
        if let Some(lease) = self.standing() {
            lease.settling.store(true, Ordering::Release);
        }
    }

    pub(crate) fn is_settling(&self) -> bool {
        self.standing().is_some_and(|lease| lease.settling.load(Ordering::Acquire))
    }

    /// Tells all who hold this attempt; whether it was news.
    pub(crate) fn lose_lease(&self) -> bool {
        let Some(lease) = self.standing() else {
            return false;
        };
        let is_news = !lease.lost.swap(true, Ordering::AcqRel);
        lease.told.notify_waiters();
        is_news
    }
}
