//! What happens to records, told to the application: each change once, in order, and never at the
//! cost of a request.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use crate::record::key::{ScopeDigest, StorageKey};
use crate::record::label::RecordLabel;
use crate::runtime::lock::lock;
use crate::store::{Lease, ReserveRequest, Token};

mod event;
mod queue;

pub use event::{Event, EventKind, LeaseLoss, NotStored, Notice};
use queue::Queue;

/// The events of this process are numbered.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// The subscribers of a layer and its clones.
#[derive(Default)]
pub(crate) struct Events {
    has_any: AtomicBool,
    queues: Mutex<Vec<Arc<Queue>>>,
}

/// What an event is about.
pub(crate) struct About<'a> {
    pub(crate) key: StorageKey,
    pub(crate) scope: Option<ScopeDigest>,
    pub(crate) label: Option<&'a Arc<RecordLabel>>,
    pub(crate) attempt: Option<(u32, Token)>,
}

/// The number and the token of the attempt that made a stored response.
pub(crate) type Origin = (u32, Token);

impl<'a> About<'a> {
    /// A request that runs no attempt.
    pub(crate) fn request(reserve: &'a ReserveRequest) -> Self {
        Self {
            key: reserve.key,
            scope: Some(reserve.scope),
            label: reserve.label.as_ref(),
            attempt: None,
        }
    }

    pub(crate) fn lease(lease: &'a Lease) -> Self {
        Self {
            key: lease.key,
            scope: Some(lease.scope),
            label: lease.label.as_ref(),
            attempt: Some((lease.attempt, lease.token)),
        }
    }
}

impl Events {
    /// Adds a subscriber.
    pub(crate) fn subscribe<F, T>(&self, mut tell: F)
    where
        F: FnMut(Notice) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let queue = Queue::new(Box::new(move |notice| Box::pin(tell(notice))));
        lock(&self.queues).push(queue);
        self.has_any.store(true, Ordering::Release);
    }

    /// Tells all subscribers. Without one, `event` is not called.
    pub(crate) fn tell<'a>(&self, event: impl FnOnce() -> (About<'a>, EventKind)) {
        if self.has_any.load(Ordering::Relaxed) {
            self.push(event());
        }
    }

    #[cold]
    fn push(&self, (about, kind): (About<'_>, EventKind)) {
        let About { key, scope, label, attempt } = about;
        let (attempt, token) = attempt.unzip();
        let (at, label) = (SystemTime::now(), label.cloned());
        let queues = lock(&self.queues);
        let Some((last, others)) = queues.split_last() else { return };
        // Under the lock, so that the order is that of the numbers.
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let event = Event { number, at, key, scope, label, attempt, token, kind };
        for queue in others {
            queue.push(event.clone());
        }
        last.push(event);
    }

    /// Returns a future that waits until the subscribers have been told all events.
    pub(crate) fn drained(&self) -> impl Future<Output = ()> + Send + use<> {
        let queues = lock(&self.queues).clone();
        async move {
            for queue in queues {
                queue.drained().await;
            }
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        lock(&self.queues).iter().for_each(|queue| queue.close());
    }
}

#[cfg(test)]
mod tests;
