//! Polls futures on threads, at the same moment.
//!
//! Futures that one task polls by turns never overlap between two awaits. A store that looks, and
//! then writes under a second lock, would pass.

use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use tokio::runtime::Handle;

use super::together::Boxed;
use crate::runtime::lock::lock;

/// How many callers act at the same moment.
pub(super) const CALLERS: usize = 8;

/// How often a thread looks for the start before it lets another one run.
const SPINS: u32 = 1000;

/// Polls all futures until each has its result; the results are in their order.
///
/// Those that are due together are polled together, on one thread for each core. The threads end
/// before the poll does. So the runtime drives timers and I/O as usual, whatever its flavor, and a
/// paused clock stays paused.
pub(super) async fn all<T: Send>(futures: impl IntoIterator<Item = Boxed<'_, T>>) -> Vec<T> {
    let mut runners: Vec<_> = futures.into_iter().map(Runner::new).collect();
    poll_fn(|cx| {
        for runner in &runners {
            *lock(&runner.bell.task) = Some(cx.waker().clone());
        }
        poll_together(runners.iter_mut().filter(|runner| runner.is_due()).collect());
        if runners.iter().all(|runner| runner.result.is_some()) {
            return Poll::Ready(());
        }
        if runners.iter().any(Runner::is_due) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
    runners.into_iter().filter_map(|runner| runner.result).collect()
}

/// Polls the first and some others on this thread, and the rest on threads of their own. Those for
/// which the system has no thread are not polled.
fn poll_together<T: Send>(due: Vec<&mut Runner<'_, T>>) {
    let mut there = dealt(due, threads()).into_iter();
    let Some(here) = there.next() else { return };
    let runtime = Handle::try_current().ok();
    let gate = Gate::default();
    thread::scope(|scope| {
        let there = there.filter_map(|runners| {
            let run = || {
                let _entered = runtime.as_ref().map(Handle::enter);
                gate.pass();
                runners.into_iter().for_each(Runner::poll);
            };
            thread::Builder::new().spawn_scoped(scope, run).ok()
        });
        let there: Vec<_> = there.collect();
        gate.open_for(there.len());
        here.into_iter().for_each(Runner::poll);
        for thread in there {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
}

/// One for each core: more of them would take turns.
fn threads() -> usize {
    thread::available_parallelism().map_or(CALLERS, NonZero::get).clamp(2, CALLERS)
}

/// Deals the items to so many hands, one after another. None is empty.
fn dealt<T>(items: Vec<T>, hands: usize) -> Vec<Vec<T>> {
    let mut dealt: Vec<_> = (0..hands).map(|_| Vec::new()).collect();
    for (item, hand) in items.into_iter().zip((0..hands).cycle()) {
        dealt[hand].push(item);
    }
    dealt.retain(|hand| !hand.is_empty());
    dealt
}

/// Lets threads go on at the same moment. They do not sleep before it, because threads wake up one
/// after another.
#[derive(Default)]
struct Gate {
    waiting: AtomicUsize,
    is_open: AtomicBool,
}

impl Gate {
    fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        spin_until(|| self.is_open.load(Ordering::SeqCst));
    }

    fn open_for(&self, threads: usize) {
        spin_until(|| self.waiting.load(Ordering::SeqCst) == threads);
        self.is_open.store(true, Ordering::SeqCst);
        // The others see it a little later. Now they are to be the first, and now this thread is.
        let drawn = RandomState::new().hash_one(0);
        let spins = (drawn >> 8) & ((1 << (drawn % 8)) - 1);
        (0..spins).for_each(|_| std::hint::spin_loop());
    }
}

fn spin_until(is_so: impl Fn() -> bool) {
    for spins in 0_u32.. {
        if is_so() {
            return;
        }
        if spins % SPINS == 0 { thread::yield_now() } else { std::hint::spin_loop() }
    }
}

/// A future, and whether it is to be polled.
struct Runner<'a, T> {
    future: Boxed<'a, T>,
    result: Option<T>,
    bell: Arc<Bell>,
}

impl<'a, T> Runner<'a, T> {
    fn new(future: Boxed<'a, T>) -> Self {
        Self { future, result: None, bell: Arc::default() }
    }

    fn is_due(&self) -> bool {
        self.result.is_none() && !self.bell.is_quiet.load(Ordering::SeqCst)
    }

    fn poll(&mut self) {
        self.bell.is_quiet.store(true, Ordering::SeqCst);
        let waker = Waker::from(self.bell.clone());
        if let Poll::Ready(result) = self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.result = Some(result);
        }
    }
}

/// The waker of one future. It wakes the task of all, and remembers that it did.
#[derive(Default)]
struct Bell {
    /// Whether it has not woken the task since the last poll.
    is_quiet: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.is_quiet.store(false, Ordering::SeqCst);
        let task = lock(&self.task).clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Barrier;
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    /// Polled by turns, they would wait for each other without an end.
    #[tokio::test]
    async fn futures_without_an_await_overlap() {
        let barrier = &Barrier::new(2);
        let futures = (0..2_u8).map(|number| -> Boxed<'_, _> {
            Box::pin(async move {
                barrier.wait();
                number
            })
        });
        assert_eq!(all(futures).await, [0, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_goes_on_to_the_next_timer_and_no_further() {
        let start = Instant::now();
        let futures = (0..20_u32).map(|number| -> Boxed<'_, _> {
            Box::pin(async move {
                sleep(Duration::from_secs(1)).await;
                tokio::task::yield_now().await;
                sleep(Duration::from_secs(1) * number).await;
                tokio::spawn(async move { number }).await.unwrap()
            })
        });
        assert_eq!(all(futures).await, (0..20).collect::<Vec<_>>());
        assert_eq!(start.elapsed(), Duration::from_secs(20));
    }

    #[tokio::test]
    #[should_panic(expected = "in one of them")]
    async fn a_panic_on_any_thread_is_a_panic_of_the_task() {
        let panics = |panics: bool| -> Boxed<'_, ()> {
            Box::pin(async move { assert!(!panics, "in one of them") })
        };
        all([panics(true), panics(false), panics(false)]).await;
    }
}
