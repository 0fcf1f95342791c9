//! The history of a key, which decides how the next response is judged.

use std::sync::{Arc, Mutex};

use crate::client::disposition::{Disposition, Reply};
use crate::runtime::lock::lock;

/// The attempts under one key, whether they belong to one call or to several calls of an
/// [`Operation`](super::Operation).
#[derive(Debug, Default)]
pub(crate) struct History {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// An attempt may have had an effect, but no response reported it.
    is_in_doubt: bool,
    /// A marked request may be under way without the layer.
    is_marked: bool,
    /// The disposition of the last attempt. `None` if it had no response.
    last: Option<Disposition>,
}

impl State {
    fn lost(&mut self) {
        *self = Self { is_in_doubt: true, is_marked: false, last: None };
    }
}

impl History {
    /// The history of a new key.
    pub(crate) fn clear() -> Arc<Self> {
        Arc::default()
    }

    /// The history of a key that an earlier process, or the application itself, may have used.
    pub(crate) fn not_known() -> Arc<Self> {
        let history = Self::default();
        lock(&history.state).is_in_doubt = true;
        Arc::new(history)
    }

    pub(crate) fn is_in_doubt(&self) -> bool {
        lock(&self.state).is_in_doubt
    }

    /// Whether the last response is certainly the outcome of this key, because it is final in doubt
    /// too.
    pub(crate) fn is_certain(&self) -> bool {
        let state = lock(&self.state);
        state.is_in_doubt && state.last == Some(Disposition::Final)
    }

    /// Whether an attempt may have had an effect that the last response does not settle.
    pub(crate) fn leaves_doubt(&self) -> bool {
        let state = lock(&self.state);
        state.is_in_doubt && state.last != Some(Disposition::Final)
    }

    /// The disposition of the last attempt. `None` if it had no response, or has none yet.
    pub(crate) fn last(&self) -> Option<Disposition> {
        let state = lock(&self.state);
        state.last.filter(|_| !state.is_marked)
    }

    /// Records that a request is about to be sent. If the one before it has no response, it is
    /// lost.
    pub(crate) fn mark(&self) {
        let state = &mut *lock(&self.state);
        if state.is_marked {
            state.lost();
        }
        state.is_marked = true;
    }

    /// Records that the layer has the marked request, and records its attempts itself.
    pub(crate) fn take_over(&self) {
        lock(&self.state).is_marked = false;
    }

    /// Records that the marked request ended without a response, if the layer has not recorded it.
    pub(crate) fn failed(&self) {
        let state = &mut *lock(&self.state);
        if state.is_marked {
            state.lost();
        }
    }

    pub(crate) fn note(&self, reply: Reply<'_>) -> Disposition {
        let state = &mut *lock(&self.state);
        let reply = reply.in_doubt(state.is_in_doubt);
        let disposition = reply.disposition();
        state.is_marked = false;
        state.is_in_doubt = match disposition {
            // After a success or a replay, an unmarked rejection is not the operation's response.
            Disposition::Final => reply.in_doubt(true).disposition() == Disposition::Final,
            Disposition::Retry | Disposition::Unknown => state.is_in_doubt || reply.begins_doubt(),
        };
        state.last = Some(disposition);
        disposition
    }
}

/// An attempt that has begun. If it is dropped before its response is recorded, it is lost,
/// whatever the reason.
pub(crate) struct Attempting(Option<Arc<History>>);

impl Attempting {
    pub(crate) fn new(history: Arc<History>) -> Self {
        Self(Some(history))
    }

    pub(crate) fn ended(mut self, reply: Reply<'_>) -> Disposition {
        self.0.take().map_or(Disposition::Unknown, |history| history.note(reply))
    }
}

impl Drop for Attempting {
    fn drop(&mut self) {
        if let Some(history) = &self.0 {
            lock(&history.state).lost();
        }
    }
}
