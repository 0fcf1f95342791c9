//! The keys whose transactions are open in this process. Those of other processes cannot be seen before they commit.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::super::{Record, Reserve, State, Token};
use crate::fingerprint::Fingerprint;
use crate::key::StorageKey;
use crate::mutex::held;

/// A clone is the same set of keys.
#[derive(Clone, Default)]
pub(in super::super) struct Claims(Arc<Keys>);

type Keys = Mutex<HashMap<StorageKey, Taken>>;

struct Taken {
    fingerprint: Fingerprint,
    token: Token,
    /// Until it is known whether this is an attempt, or finds an answer.
    asking: Option<watch::Receiver<Option<Record>>>,
}

/// One key, until this is dropped.
pub(in super::super) struct Claimed {
    keys: Arc<Keys>,
    key: StorageKey,
    /// Dropped with this, or when the attempt begins: then those who wait look again, unless they were told.
    asking: Option<watch::Sender<Option<Record>>>,
}

/// Who has a key in this process.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment, and a box would cost more than the move"
)]
pub(in super::super) enum Holder {
    /// The caller, from now on.
    Caller(Claimed),
    /// An attempt runs.
    Running(Record),
    /// Somebody is about to learn what stands there. It may be an answer, so nobody is told that an attempt runs.
    Asking(Asking),
}

/// Somebody else who is about to learn what stands under a key.
pub(in super::super) struct Asking(watch::Receiver<Option<Record>>);

impl Asking {
    /// Waits until that is known, and gives what there is to tell of it.
    pub(in super::super) async fn over(mut self) -> Option<Record> {
        // It ends with the sender, and what was sent before stays.
        while self.0.changed().await.is_ok() {}
        self.0.borrow().clone()
    }
}

impl Claims {
    /// Claims the key of a request among those of this process, or tells who has it.
    pub(in super::super) fn claim(&self, request: &Reserve, token: Token) -> Holder {
        match held(&self.0).entry(request.key) {
            Entry::Vacant(free) => {
                let (sender, asking) = watch::channel(None);
                free.insert(Taken { fingerprint: request.fingerprint, token, asking: Some(asking) });
                Holder::Caller(Claimed { keys: Arc::clone(&self.0), key: request.key, asking: Some(sender) })
            }
            Entry::Occupied(other) => match other.get() {
                Taken { asking: Some(asking), .. } => Holder::Asking(Asking(asking.clone())),
                Taken { fingerprint, token, .. } => Holder::Running(in_flight(*fingerprint, *token)),
            },
        }
    }
}

/// The record of an attempt that has none yet.
pub(in super::super) fn in_flight(fingerprint: Fingerprint, token: Token) -> Record {
    Record { fingerprint, attempt: 1, token, state: State::Pending { abandoned: false } }
}

impl Claimed {
    /// Tells those who wait what stands there.
    pub(super) fn tell(&self, found: &Record) {
        if let Some(asking) = &self.asking {
            asking.send_replace(Some(found.clone()));
        }
    }

    /// The attempt begins.
    pub(super) fn run(&mut self) {
        if let Some(taken) = held(&self.keys).get_mut(&self.key) {
            taken.asking = None;
        }
        self.asking = None;
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        held(&self.keys).remove(&self.key);
    }
}
