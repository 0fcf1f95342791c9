//! Whoever waits for a pending record learns soon that it changed, and never waits past the bound.

use std::time::Duration;

use tokio::time::Instant;

use super::super::{Lease, PreviousAttempt, Reservation, State, Store};
use super::contender::Contender;
use super::given::answer;
use super::together;
use super::told::Write;

/// How many units may pass between a change and the moment when a waiter knows of it.
const SOON: u32 = 2;

/// Somebody who waits for a running attempt has its answer soon after it was completed.
pub async fn a_waiter_learns_soon_that_the_record_was_completed<S: Store>(store: &S, unit: Duration) {
    let kept = answer(201, "kept");
    let learned = waits_while_settled_by(store, unit, Write::Complete(&kept)).await;
    let State::Success(found) = found(learned) else {
        panic!("a waiter should find the answer that was completed");
    };
    assert_eq!(found, kept, "a waiter should find the answer that was completed");
}

/// Somebody who waits for a running attempt knows soon after it failed.
pub async fn a_waiter_learns_soon_that_the_record_failed<S: Store>(store: &S, unit: Duration) {
    let learned = waits_while_settled_by(store, unit, Write::Fail(None)).await;
    let failed = matches!(found(learned), State::Failed(None));
    assert!(failed, "a waiter should find that the attempt failed");
}

/// Somebody who waits for a running attempt acquires the key soon after it was released.
pub async fn a_waiter_learns_soon_that_the_key_was_released<S: Store>(store: &S, unit: Duration) {
    let learned = waits_while_settled_by(store, unit, Write::Release).await;
    let acquired = matches!(learned, Reservation::Acquired(Lease { attempt: 1, .. }));
    assert!(acquired, "a waiter should acquire the key that was released, not {learned:?}");
}

/// A caller that waits for a later attempt finds what that attempt had taken over soon after its
/// release.
pub async fn a_waiter_learns_soon_that_a_later_attempt_was_released<S: Store>(store: &S, unit: Duration) {
    let contender = Contender::new(store, unit);
    let first = contender.acquires_first().await;
    contender.applies(&first, Write::Fail(None)).await;
    let later = contender.rerunning_failed().takes_over(2, PreviousAttempt::Failed { status: None }).await;
    let learned = waits_until_settled_by(&contender, &later, Write::Release, unit).await;
    let failed = matches!(found(learned), State::Failed(None));
    assert!(failed, "a waiter should find the failure that was put back");
}

async fn waits_while_settled_by<S: Store>(store: &S, unit: Duration, end: Write<'_>) -> Reservation {
    let owner = Contender::new(store, unit);
    let lease = owner.acquires_first().await;
    waits_until_settled_by(&owner, &lease, end, unit).await
}

async fn waits_until_settled_by<S: Store>(
    owner: &Contender<'_, S>,
    lease: &Lease,
    end: Write<'_>,
    unit: Duration,
) -> Reservation {
    let settle = async {
        owner.after(1.0).await.applies(lease, end).await;
        Instant::now()
    };
    let ((learned, when), settled) = tokio::join!(owner.waits_until_settled(10.0), settle);
    assert_soon(when.saturating_duration_since(settled), unit);
    learned
}

/// All of 50 waiters have the answer soon after it was completed.
pub async fn many_waiters_all_learn_of_the_change<S: Store>(store: &S, unit: Duration) {
    let owner = Contender::new(store, unit);
    let lease = owner.acquires_first().await;
    let kept = answer(201, "kept");
    let settle = async {
        owner.after(1.0).await.applies(&lease, Write::Complete(&kept)).await;
        Instant::now()
    };
    let waiters = together::all((0..50).map(|_| owner.waits_until_settled(10.0)));
    let (waiters, settled) = tokio::join!(waiters, settle);
    for (learned, when) in waiters {
        let success = matches!(found(learned), State::Success(found) if found == kept);
        assert!(success, "every waiter should find the answer that was completed");
        assert_soon(when.saturating_duration_since(settled), unit);
    }
}

/// A record that changes between the look at it and the wait for it ends that wait soon, whatever became of it.
pub async fn a_change_before_the_wait_is_not_missed<S: Store>(store: &S, unit: Duration) {
    let kept = answer(201, "kept");
    for end in [Write::Complete(&kept), Write::Fail(None), Write::Release] {
        let contender = Contender::new(store, unit).rerunning_failed();
        let lease = contender.acquires_first().await;
        contender.applies(&lease, end).await;
        assert_soon(time_of(contender.waits(&lease, 0, 10.0)).await, unit);
    }

    let contender = Contender::new(store, unit).rerunning_failed();
    let lease = contender.acquires_first().await;
    contender.applies(&lease, Write::Fail(None)).await;
    let second = contender.takes_over(2, PreviousAttempt::Failed { status: None }).await;
    assert_soon(time_of(contender.waits(&lease, 0, 10.0)).await, unit);
    contender.finds_running(&second).await;
}

/// A wait for an attempt that runs on ends by its bound, in whichever round, and neither that nor giving up half way
/// does anything to the record.
pub async fn a_wait_ends_by_its_bound<S: Store>(store: &S, unit: Duration) {
    let contender = Contender::new(store, unit);
    let lease = contender.acquires_first().await;
    contender.waits(&lease, 0, 1.0).await;
    contender.waits(&lease, 9, 1.0).await;
    contender.waits(&lease, u32::MAX, 0.0).await;

    let given_up = tokio::time::timeout(unit / 2, contender.waits(&lease, 3, 10.0)).await;
    drop(given_up);
    contender.finds_running(&lease).await;
    contender.applies(&lease, Write::Renew).await;
}

fn found(learned: Reservation) -> State {
    match learned {
        Reservation::Found(record) => record.state,
        Reservation::Acquired(lease) => panic!("a waiter should not have acquired {lease:?}"),
    }
}

async fn time_of(operation: impl Future<Output = ()>) -> Duration {
    let start = Instant::now();
    operation.await;
    start.elapsed()
}

fn assert_soon(waited: Duration, unit: Duration) {
    assert!(waited <= unit * SOON, "a waiter learned of the change only {waited:?} after it");
}
