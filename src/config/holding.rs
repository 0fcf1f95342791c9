//! How much is held for requests that wait, and for writes that are retried.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bounds, over all clones of a layer that were made after they were set.
#[derive(Clone)]
pub(crate) struct Holding {
    waiting: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

impl Default for Holding {
    fn default() -> Self {
        Self { waiting: Arc::new(Semaphore::new(1000)), bytes: Arc::new(Semaphore::new(64 << 20)) }
    }
}

impl Holding {
    pub(crate) fn set_max_waiting(&mut self, requests: usize) {
        self.waiting = Arc::new(Semaphore::new(requests.min(Semaphore::MAX_PERMITS)));
    }

    pub(crate) fn set_max_bytes(&mut self, bytes: usize) {
        self.bytes = Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)));
    }

    /// The right of a request to wait with a body of so many bytes. It is taken at the first wait.
    pub(crate) fn seat(&self, bytes: usize) -> Seat<'_> {
        Seat { holding: self, bytes, taken: None }
    }

    /// Holds so many bytes, if the bound allows it.
    pub(crate) fn bytes(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).ok()?;
        Arc::clone(&self.bytes).try_acquire_many_owned(bytes).ok()
    }
}

/// See [`Holding::seat`]. Dropping it gives it back.
pub(crate) struct Seat<'a> {
    holding: &'a Holding,
    bytes: usize,
    taken: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

impl Seat<'_> {
    /// Whether the request may wait.
    pub(crate) fn take(&mut self) -> bool {
        if self.taken.is_none() {
            let waiting = Arc::clone(&self.holding.waiting).try_acquire_owned().ok();
            self.taken = waiting.zip(self.holding.bytes(self.bytes));
        }
        self.taken.is_some()
    }
}
