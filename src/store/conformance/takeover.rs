//! A failed or abandoned record is taken over by one contender of the same operation that asks for it.

use std::time::Duration;

use http::StatusCode;

use super::super::{PreviousAttempt, Store};
use super::contend::the_only_winner;
use super::contender::Contender;
use super::given::{answer, large_answer};
use super::together;
use super::told::Write;

/// A failed record is found as it is by those who do not rerun failures. One who does takes it over, and the lease
/// tells what the failed attempt had answered.
pub async fn a_failed_record_is_taken_over_only_when_asked<S: Store>(store: &S, unit: Duration) {
    let small = answer(500, "it broke");
    let large = large_answer(503, b'F');
    for outcome in [None, Some(&small), Some(&large)] {
        let contender = Contender::new(store, unit);
        let lease = contender.acquires_first().await;
        contender.applies(&lease, Write::Fail(outcome)).await;
        contender.finds_failed(&lease, outcome).await;
        contender.rerunning_abandoned().finds_failed(&lease, outcome).await;

        let status = outcome.map(|outcome| outcome.status);
        let successor = contender.rerunning_failed();
        let second = successor.takes_over(2, PreviousAttempt::Failed { status }).await;
        assert_ne!(lease.token, second.token, "a token was used twice");
        successor.finds_running(&second).await;
        contender.loses_every_write(&lease).await;
        successor.finds_running(&second).await;
    }
}

/// Somebody who has waited for one attempt takes over its failure, and not that of the attempt after it.
pub async fn only_the_failure_that_was_awaited_is_taken_over<S: Store>(store: &S, unit: Duration) {
    let contender = Contender::new(store, unit);
    let first = contender.acquires_first().await;
    contender.applies(&first, Write::Fail(None)).await;
    let waiter = contender.rerunning_failure_of(&first);
    let second = waiter.takes_over(2, PreviousAttempt::Failed { status: None }).await;
    contender.applies(&second, Write::Fail(None)).await;
    waiter.finds_failed(&second, None).await;
}

/// Of 50 contenders at once exactly one takes over a failed record; the others find the new attempt.
pub async fn of_many_contenders_one_takes_over_a_failed_record<S: Store>(store: &S, unit: Duration) {
    let contender = Contender::new(store, unit).rerunning_failed().rerunning_abandoned();
    let lease = contender.acquires_first().await;
    contender.applies(&lease, Write::Fail(Some(&answer(502, "no gateway")))).await;

    let reservations = together::all((0..50).map(|_| contender.reserve())).await;

    let second = the_only_winner(reservations);
    let previous = PreviousAttempt::Failed { status: Some(StatusCode::BAD_GATEWAY) };
    assert_eq!((second.attempt, second.previous), (2, Some(previous)), "the record was taken over");
    assert_ne!(lease.token, second.token, "a token was used twice");
    contender.finds_running(&second).await;
}

/// When the answer of one attempt is replaced by that of the next, nothing of the first remains, however large it was
/// and however small the second is, and the other way round.
pub async fn a_small_answer_leaves_nothing_of_a_large_one<S: Store>(store: &S, unit: Duration) {
    let contender = Contender::new(store, unit).rerunning_failed();
    let outcomes = [
        Some(large_answer(500, b'1')),
        Some(answer(500, "2")),
        None,
        Some(large_answer(500, b'3')),
        Some(large_answer(500, b'4')),
        Some(answer(500, "")),
    ];
    let mut lease = contender.acquires_first().await;
    for (outcome, attempt) in outcomes.iter().zip(2..) {
        let outcome = outcome.as_ref();
        contender.applies(&lease, Write::Fail(outcome)).await;
        let status = outcome.map(|outcome| outcome.status);
        contender.with_another_operation().finds_failed(&lease, outcome).await;
        lease = contender.takes_over(attempt, PreviousAttempt::Failed { status }).await;
    }
    let last = answer(200, "at last");
    contender.applies(&lease, Write::Complete(&last)).await;
    contender.finds_success(&lease, &last).await;
}

/// Attempts are numbered 1, 2, 3, …, and each is told of the one just before it.
pub async fn attempts_are_counted<S: Store>(store: &S, unit: Duration) {
    let contender = Contender::new(store, unit).rerunning_failed();
    let failures = [Some(answer(500, "first")), None, Some(answer(503, "third")), None];
    let mut lease = contender.acquires_first().await;
    for (failure, attempt) in failures.iter().zip(2..) {
        contender.applies(&lease, Write::Fail(failure.as_ref())).await;
        let status = failure.as_ref().map(|outcome| outcome.status);
        lease = contender.takes_over(attempt, PreviousAttempt::Failed { status }).await;
    }
    contender.finds_running(&lease).await;
}

/// A record whose lease has lapsed is found abandoned by those who do not rerun such attempts. One who does takes it
/// over, and the lease says that the attempt before was abandoned.
pub async fn an_abandoned_record_is_taken_over_only_when_asked<S: Store>(store: &S, unit: Duration) {
    let contender = Contender::new(store, unit).with_lease(1.0);
    let lease = contender.acquires_first().await;

    contender.after(2.0).await.finds_abandoned(&lease).await;
    contender.rerunning_failed().finds_abandoned(&lease).await;

    let successor = contender.rerunning_abandoned().with_lease(2.0);
    let second = successor.takes_over(2, PreviousAttempt::Abandoned).await;
    assert_ne!(lease.token, second.token, "a token was used twice");
    successor.finds_running(&second).await;

    successor.after(3.0).await;
    let third = successor.with_lease(20.0).takes_over(3, PreviousAttempt::Abandoned).await;
    contender.finds_running(&third).await;
}

/// Of 50 contenders at once exactly one takes over an abandoned record; the others find the new attempt.
pub async fn of_many_contenders_one_takes_over_an_abandoned_record<S: Store>(store: &S, unit: Duration) {
    let contender = Contender::new(store, unit);
    let lease = contender.with_lease(1.0).acquires_first().await;
    contender.after(2.0).await;

    let contender = contender.rerunning_abandoned().rerunning_failed();
    let reservations = together::all((0..50).map(|_| contender.reserve())).await;

    let second = the_only_winner(reservations);
    let told = (second.attempt, second.previous);
    assert_eq!(told, (2, Some(PreviousAttempt::Abandoned)), "the record was taken over");
    assert_ne!(lease.token, second.token, "a token was used twice");
    contender.finds_running(&second).await;
}

/// A contender with another fingerprint does not take an abandoned record over, whatever it asks for.
pub async fn an_abandoned_record_of_another_operation_is_never_taken_over<S: Store>(
    store: &S,
    unit: Duration,
) {
    let owner = Contender::new(store, unit).with_lease(1.0);
    let lease = owner.acquires_first().await;
    owner.after(2.0).await;

    let other = owner.with_another_operation().rerunning_abandoned().rerunning_failed();
    other.finds_abandoned(&lease).await;
    owner.finds_abandoned(&lease).await;
    let second = owner.rerunning_abandoned().with_lease(20.0);
    let second = second.takes_over(2, PreviousAttempt::Abandoned).await;
    other.finds_running(&second).await;
}
