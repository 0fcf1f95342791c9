//! What the threads of the memory store share, in the types that loom follows.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

pub(in crate::store::memory) use loom::sync::atomic::AtomicU64;
pub(in crate::store::memory) use loom::sync::{Mutex, MutexGuard};

/// Loom's, with the method that it knows by an older name.
pub(in crate::store::memory) struct AtomicUsize(loom::sync::atomic::AtomicUsize);

impl AtomicUsize {
    pub(in crate::store::memory) fn new(number: usize) -> Self {
        Self(loom::sync::atomic::AtomicUsize::new(number))
    }

    pub(in crate::store::memory) fn try_update(
        &self,
        set: Ordering,
        fetch: Ordering,
        change: impl FnMut(usize) -> Option<usize>,
    ) -> Result<usize, usize> {
        self.0.fetch_update(set, fetch, change)
    }
}

impl Deref for AtomicUsize {
    type Target = loom::sync::atomic::AtomicUsize;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// The part of tokio's that the store uses, and no more than tokio promises: a waiter hears of
/// every call after its future was made, polled or not, and of none before.
#[derive(Default)]
pub(in crate::store::memory) struct Notify {
    calls: AtomicUsize,
    waiters: Mutex<Vec<Waker>>,
}

impl Default for AtomicUsize {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Notify {
    pub(in crate::store::memory) fn notify_waiters(&self) {
        let mut waiters = self.waiters.lock().expect("no thread of a test panics and goes on");
        self.calls.fetch_add(1, Ordering::SeqCst);
        let woken = std::mem::take(&mut *waiters);
        drop(waiters);
        for waker in woken {
            waker.wake();
        }
    }

    pub(in crate::store::memory) fn notified_owned(self: Arc<Self>) -> OwnedNotified {
        let calls = self.calls.load(Ordering::SeqCst);
        OwnedNotified { notify: self, calls }
    }
}

pub(in crate::store::memory) struct OwnedNotified {
    notify: Arc<Notify>,
    /// How many there had been when it was made.
    calls: usize,
}

impl Future for OwnedNotified {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiters =
            self.notify.waiters.lock().expect("no thread of a test panics and goes on");
        if self.notify.calls.load(Ordering::SeqCst) != self.calls {
            return Poll::Ready(());
        }
        waiters.push(cx.waker().clone());
        Poll::Pending
    }
}
