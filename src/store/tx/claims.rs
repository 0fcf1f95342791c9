//! The keys whose transactions are open in this process. Those of other processes cannot be seen before they commit.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::super::{Record, Reserve, State, Token};
use crate::fingerprint::Fingerprint;
use crate::key::StorageKey;
use crate::mutex::held;

/// How many keys are remembered that have been answered lately.
const LATELY: usize = 1024;

/// A clone is the same set of keys.
#[derive(Clone)]
pub(in super::super) struct Claims(Arc<Keys>);

struct Keys {
    running: Mutex<HashMap<StorageKey, (Fingerprint, Token)>>,
    /// A part of each key, in a place that the key says; a later one takes the place of an earlier one.
    answered: Box<[AtomicU64]>,
}

/// One key, until this is dropped.
pub(in super::super) struct Claimed {
    keys: Arc<Keys>,
    key: StorageKey,
}

impl Default for Claims {
    fn default() -> Self {
        let answered = (0..LATELY).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Keys { running: Mutex::default(), answered }))
    }
}

impl Claims {
    /// Claims the key of a request among those of this process, or tells of the attempt that runs.
    pub(in super::super) fn claim(&self, request: &Reserve, token: Token) -> Result<Claimed, Record> {
        match held(&self.0.running).entry(request.key) {
            Entry::Vacant(free) => {
                free.insert((request.fingerprint, token));
                Ok(Claimed { keys: Arc::clone(&self.0), key: request.key })
            }
            Entry::Occupied(running) => {
                let (fingerprint, token) = *running.get();
                Err(in_flight(fingerprint, token))
            }
        }
    }

    /// Whether the key was answered lately, so that it is worth a look before a transaction is begun. It may be wrong
    /// either way: it saves time, and decides nothing.
    pub(in super::super) fn is_known(&self, key: &StorageKey) -> bool {
        let (place, part) = place(key);
        self.0.answered[place].load(Ordering::Relaxed) == part
    }

    pub(in super::super) fn answered(&self, key: &StorageKey) {
        let (place, part) = place(key);
        self.0.answered[place].store(part, Ordering::Relaxed);
    }
}

/// The key is a digest, so any bytes of it do.
fn place(key: &StorageKey) -> (usize, u64) {
    let part = key.as_bytes().first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    let place = key.as_bytes().last_chunk().map_or(0, |last| usize::from(u16::from_be_bytes(*last)));
    (place % LATELY, part)
}

/// The record of an attempt that has none yet.
pub(in super::super) fn in_flight(fingerprint: Fingerprint, token: Token) -> Record {
    Record { fingerprint, attempt: 1, token, state: State::Pending { abandoned: false } }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        held(&self.keys.running).remove(&self.key);
    }
}
