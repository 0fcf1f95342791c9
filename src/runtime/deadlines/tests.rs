#![allow(clippy::unwrap_used)]

use std::future::{pending, ready};

use tokio::sync::oneshot;
use tokio::time::{advance, sleep, timeout};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_deadline_and_not_before() {
    let begun = Instant::now();
    for bound in [2 * SECOND, SECOND, Duration::from_millis(1), Duration::ZERO] {
        let begun = Instant::now();
        assert_eq!(within(bound, pending::<()>()).await, None);
        assert!((bound..bound + Duration::from_millis(2)).contains(&begun.elapsed()));
    }
    assert!(begun.elapsed() < 4 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_short_wait_behind_long_ones_ends_first() {
    let long = tokio::spawn(within(60 * SECOND, pending::<()>()));
    tokio::task::yield_now().await;
    let begun = Instant::now();
    assert_eq!(within(SECOND, pending::<()>()).await, None);
    assert!(begun.elapsed() < 2 * SECOND);
    assert_eq!(long.await.unwrap(), None);
    assert!(begun.elapsed() >= 60 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn many_waits_with_one_deadline_all_end() {
    let waits: Vec<_> = (0..100).map(|_| tokio::spawn(within(SECOND, pending::<()>()))).collect();
    let begun = Instant::now();
    for wait in waits {
        assert_eq!(wait.await.unwrap(), None);
    }
    assert!(begun.elapsed() < 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_ends_in_time_returns_its_output() {
    assert_eq!(within(Duration::ZERO, ready(1)).await, Some(1));
    let slow = async {
        sleep(SECOND).await;
        2
    };
    assert_eq!(within(2 * SECOND, slow).await, Some(2));
    assert_eq!(within(Duration::MAX, async { 3 }).await, Some(3));
}

/// A task polls a future with its own waker.
#[tokio::test(start_paused = true)]
async fn a_wait_that_moves_to_another_task_ends_there() {
    let mut wait = Box::pin(within(SECOND, pending::<()>()));
    assert!(poll_once(&mut wait).await.is_pending());
    let moved = tokio::spawn(wait);
    assert_eq!(timeout(2 * SECOND, moved).await.unwrap().unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_dropped_leaves_nothing() {
    let (told, tells) = oneshot::channel::<()>();
    let wait = within(SECOND, async {
        let _told = told;
        pending::<()>().await;
    });
    assert!(timeout(Duration::from_millis(1), wait).await.is_err());
    assert!(tells.await.is_err());
    advance(2 * SECOND).await;
    let left: usize = QUEUES
        .iter()
        .flat_map(|queues| {
            let id = Handle::current().id();
            let queues = lock(queues);
            let own = queues.iter().filter(|queue| queue.runtime == id);
            own.map(|queue| queue.waits.len()).collect::<Vec<_>>()
        })
        .sum();
    assert_eq!(left, 0);
}

#[test]
fn a_runtime_that_ends_does_not_hold_up_another_one() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (ended, other) = (runtime(), runtime());
    let bound = Duration::from_millis(5);
    ended.block_on(async {
        tokio::spawn(within(SECOND, pending::<()>()));
        assert_eq!(within(bound, pending::<()>()).await, None);
    });
    drop(ended);
    assert_eq!(other.block_on(within(bound, pending::<()>())), None);
}

/// A thread that blocks on a wait while its runtime shuts down. The runtime waits for the thread.
#[test]
fn a_wait_on_a_blocking_thread_ends_although_its_runtime_shuts_down() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let (begun, begins) = std::sync::mpsc::channel();
    let (ended, ends) = std::sync::mpsc::channel::<()>();
    let handle = runtime.handle().clone();
    runtime.spawn_blocking(move || {
        let _ended = ended;
        handle.block_on(async {
            let mut wait = Box::pin(within(Duration::from_millis(300), pending::<()>()));
            assert!(poll_once(&mut wait).await.is_pending());
            begun.send(()).unwrap();
            wait.await
        })
    });
    begins.recv().unwrap();
    runtime.shutdown_background();
    let ended = ends.recv_timeout(Duration::from_secs(10));
    assert_eq!(ended, Err(std::sync::mpsc::RecvTimeoutError::Disconnected), "it waits for ever");
}

/// Panics when it is called, or runs something when it is dropped.
struct Odd {
    panics: bool,
    dropped: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl std::task::Wake for Odd {
    fn wake(self: Arc<Self>) {
        assert!(!self.panics, "the waker panics");
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        if let Some(dropped) = lock(&self.dropped).take() {
            dropped();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_does_not_hold_up_others() {
    let waker = Arc::new(Odd { panics: true, dropped: Mutex::default() }).into();
    let mut odd = Box::pin(within(SECOND, pending::<()>()));
    assert!(odd.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let same = timeout(10 * SECOND, within(SECOND, pending::<()>())).await;
    assert_eq!(same, Ok(None), "one that had the same deadline");
    let later = timeout(10 * SECOND, within(SECOND, pending::<()>())).await;
    assert_eq!(later, Ok(None), "one that began later");
}

#[test]
fn a_wait_that_has_moved_to_another_runtime_ends_at_its_deadline_and_not_before() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (ended, other, third) = (runtime(), runtime(), runtime());
    let bound = Duration::from_secs(3);
    let (wait, early) = std::thread::spawn(move || {
        let mut wait = Box::pin(within(bound, pending::<()>()));
        ended.block_on(std::future::poll_fn(|cx| {
            assert!(wait.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        }));
        drop(ended);
        // Another runtime on this thread, and so in this shard.
        third.block_on(within(Duration::from_millis(1), pending::<()>()));
        let early = third
            .block_on(std::future::poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx).is_ready())));
        (wait, early)
    })
    .join()
    .unwrap();
    assert!(!early, "it has ended long before its deadline");
    assert_eq!(other.block_on(async { timeout(4 * SECOND, wait).await }), Ok(None));
}

/// A waker that contains a future, as in small executors.
#[test]
fn a_wait_that_a_waker_holds_does_not_lock_up_when_its_runtime_has_ended() {
    let (done, ends) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime =
            || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (ended, other) = (runtime(), runtime());
        ended.block_on(async {
            let odd = Arc::new(Odd { panics: false, dropped: Mutex::default() });
            let waker = Arc::clone(&odd).into();
            let mut wait = Box::pin(within(SECOND, pending::<()>()));
            assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            // The executor goes, and the queue has the last waker.
            *lock(&odd.dropped) = Some(Box::new(move || drop(wait)));
        });
        drop(ended);
        other.block_on(within(Duration::from_millis(1), pending::<()>()));
        done.send(()).unwrap();
    });
    assert!(ends.recv_timeout(Duration::from_secs(10)).is_ok(), "the thread has locked itself out");
}

async fn poll_once<F: Future>(wait: &mut Pin<Box<F>>) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx))).await
}

/// A wait around another one must not rely on it. The inner one may move to a task, end there, or
/// have begun long before.
#[tokio::test(start_paused = true)]
async fn a_wait_ends_although_one_inside_of_it_moves_to_another_task() {
    let operation = async {
        let mut inner = Box::pin(within(SECOND, pending::<()>()));
        assert!(poll_once(&mut inner).await.is_pending());
        tokio::spawn(inner);
        pending::<()>().await;
    };
    assert_eq!(timeout(60 * SECOND, within(2 * SECOND, operation)).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_although_another_task_drops_one_inside_of_it() {
    let shared = Arc::new(Mutex::new(Some(Box::pin(within(SECOND, pending::<()>())))));
    let own = Arc::clone(&shared);
    let operation = std::future::poll_fn(move |cx| match lock(&own).as_mut() {
        Some(inner) => inner.as_mut().poll(cx).map(drop),
        None => Poll::Pending,
    });
    let outer = tokio::spawn(timeout(60 * SECOND, within(2 * SECOND, operation)));
    sleep(SECOND / 2).await;
    drop(lock(&shared).take());
    assert_eq!(outer.await.unwrap(), Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_wait_around_one_that_began_earlier_has_its_whole_time() {
    let work = async {
        sleep(6 * SECOND).await;
        7
    };
    let mut inner = Box::pin(within(10 * SECOND, work));
    assert!(poll_once(&mut inner).await.is_pending());
    advance(5 * SECOND).await;
    assert_eq!(within(2 * SECOND, inner).await, Some(Some(7)));
}
