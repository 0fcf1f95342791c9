//! The record that guards an attempt, and the state of its lease.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::Notify;

use super::Attempt;
use crate::record::key::StorageKey;
use crate::store::{Record, State, Token};

/// The record that guards an attempt.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) token: Token,
    /// The layer that made the attempt: see `Shared::id`.
    pub(super) layer: Weak<()>,
    /// The settings of that layer, or of the clone of it that made the attempt.
    pub(super) settings: Weak<dyn Any + Send + Sync>,
    pub(super) lease: LeaseState,
}

/// The state of a lease: whether it is lost, which is final, and what the operation has reported.
#[derive(Debug, Default)]
pub(super) struct LeaseState {
    /// The attempt has ended, and the layer is writing its outcome. A renewal may find that record
    /// from now on.
    settling: AtomicBool,
    pub(super) lost: AtomicBool,
    /// The operation has reported a conflict with another transaction.
    pub(super) conflict: AtomicBool,
    /// The operation has taken the transaction of its attempt.
    pub(super) took_transaction: AtomicBool,
    /// Wakes the tasks that wait for the loss of the lease.
    pub(super) changed: Notify,
}

impl Attempt {
    pub(crate) fn has_conflict(&self) -> bool {
        self.lease_state().is_some_and(|lease| lease.conflict.load(Ordering::Acquire))
    }

    pub(crate) fn has_taken_transaction(&self) -> bool {
        self.lease_state().is_some_and(|lease| lease.took_transaction.load(Ordering::Acquire))
    }

    /// Whether the attempt is running and guarded by a record under this key.
    pub(crate) fn runs_under(&self, key: &StorageKey) -> bool {
        self.0.guard.is_some() && self.0.downstream.operation == *key && !self.is_settling()
    }

    /// Whether this layer, or a clone of it, makes the attempt.
    pub(crate) fn is_of_layer(&self, id: &Arc<()>) -> bool {
        self.0
            .guard
            .as_ref()
            .is_some_and(|guard| std::ptr::eq(guard.layer.as_ptr(), Arc::as_ptr(id)))
    }

    /// Whether the attempt was made with these settings.
    pub(crate) fn is_under<T>(&self, settings: &T) -> bool {
        let own = self.0.guard.as_ref().map(|guard| guard.settings.as_ptr().cast::<T>());
        own.is_some_and(|own| std::ptr::eq(own, settings))
    }

    /// Whether this is the pending record that guards the attempt. Tokens are unique, so an equal
    /// token means the same store.
    pub(crate) fn is_of(&self, record: &Record) -> bool {
        let is_pending = matches!(record.state, State::Pending { .. });
        is_pending && self.0.guard.as_ref().is_some_and(|guard| guard.token == record.token)
    }

    pub(super) fn lease_state(&self) -> Option<&LeaseState> {
        self.0.guard.as_ref().map(|guard| &guard.lease)
    }

    pub(crate) fn begin_settling(&self) {
        if let Some(lease) = self.lease_state() {
            lease.settling.store(true, Ordering::Release);
        }
    }

    pub(crate) fn is_settling(&self) -> bool {
        self.lease_state().is_some_and(|lease| lease.settling.load(Ordering::Acquire))
    }

    /// Marks the lease as lost and wakes all waiters. Returns whether the loss is new.
    pub(crate) fn lose_lease(&self) -> bool {
        let Some(lease) = self.lease_state() else {
            return false;
        };
        let is_new = !lease.lost.swap(true, Ordering::AcqRel);
        lease.changed.notify_waiters();
        is_new
    }
}
