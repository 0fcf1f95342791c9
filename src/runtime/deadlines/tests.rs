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

/// The waker of a task is another one than that of the future that has polled it before.
#[tokio::test(start_paused = true)]
async fn a_wait_that_moves_to_another_task_ends_there() {
    let mut wait = Box::pin(within(SECOND, pending::<()>()));
    let first = std::future::poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx))).await;
    assert!(first.is_pending());
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
