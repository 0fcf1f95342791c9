//! A failed or abandoned record is taken over by one contender of the same operation that asks for
//! it.

use http::StatusCode;

use crate::store::conformance::contender::{Contender, are_different};
use crate::store::conformance::failure::Checked;
use crate::store::conformance::given::{large_response, response};
use crate::store::conformance::told::Write;
use crate::store::conformance::trial::Trial;
use crate::store::{PreviousAttempt, Store};

/// A request that does not rerun failures finds a failed record as it is. One that does takes it
/// over, and the lease has the status of the failed response.
pub(crate) async fn a_failed_record_is_taken_over_only_when_asked<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let small = response(500, "it broke");
    let large = large_response(503, b'F');
    for outcome in [None, Some(&small), Some(&large)] {
        let contender = Contender::new(trial);
        let lease = contender.acquires_first().await?;
        contender.applies(&lease, Write::Fail(outcome)).await?;
        contender.finds_failed(&lease, outcome).await?;
        contender.rerunning_abandoned().finds_failed(&lease, outcome).await?;

        let status = outcome.map(|outcome| outcome.status);
        let successor = contender.rerunning_failed();
        let second = successor.takes_over(2, PreviousAttempt::Failed { status }).await?;
        are_different(&lease, &second)?;
        successor.finds_running(&second).await?;
        contender.loses_every_write(&lease).await?;
        successor.finds_running(&second).await?;
    }
    Ok(())
}

/// A caller that has waited for one attempt takes over its failure, and not that of the attempt
/// after it.
pub(crate) async fn only_the_failure_that_was_awaited_is_taken_over<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let contender = Contender::new(trial);
    let first = contender.acquires_first().await?;
    contender.applies(&first, Write::Fail(None)).await?;
    let waiter = contender.rerunning_failure_of(&first);
    let second = waiter.takes_over(2, PreviousAttempt::Failed { status: None }).await?;
    contender.applies(&second, Write::Fail(None)).await?;
    waiter.finds_failed(&second, None).await
}

/// Of 50 contenders at once exactly one takes over a failed record. The others find the new
/// attempt.
pub(crate) async fn of_many_contenders_one_takes_over_a_failed_record<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let contender = Contender::new(trial).rerunning_failed().rerunning_abandoned();
    let lease = contender.acquires_first().await?;
    contender.applies(&lease, Write::Fail(Some(&response(502, "no gateway")))).await?;

    let previous = PreviousAttempt::Failed { status: Some(StatusCode::BAD_GATEWAY) };
    let second = contender.one_of_many_acquires(2, Some(previous)).await?;
    are_different(&lease, &second)?;
    contender.finds_running(&second).await
}

/// When the response of one attempt is replaced by that of the next, nothing of the first remains,
/// whichever of the two is large.
pub(crate) async fn a_small_response_leaves_nothing_of_a_large_one<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let contender = Contender::new(trial).rerunning_failed();
    let outcomes = [
        Some(large_response(500, b'1')),
        Some(response(500, "2")),
        None,
        Some(large_response(500, b'3')),
        Some(large_response(500, b'4')),
        Some(response(500, "")),
    ];
    let mut lease = contender.acquires_first().await?;
    for (outcome, attempt) in outcomes.iter().zip(2..) {
        let outcome = outcome.as_ref();
        contender.applies(&lease, Write::Fail(outcome)).await?;
        let status = outcome.map(|outcome| outcome.status);
        contender.with_another_operation().finds_failed(&lease, outcome).await?;
        lease = contender.takes_over(attempt, PreviousAttempt::Failed { status }).await?;
    }
    let last = response(200, "at last");
    contender.applies(&lease, Write::Complete(&last)).await?;
    contender.finds_success(&lease, &last).await
}

/// Attempts are numbered 1, 2, 3, …, and each lease says how the attempt just before it ended.
pub(crate) async fn attempts_are_counted<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let contender = Contender::new(trial).rerunning_failed();
    let failures = [Some(response(500, "first")), None, Some(response(503, "third")), None];
    let mut lease = contender.acquires_first().await?;
    for (failure, attempt) in failures.iter().zip(2..) {
        contender.applies(&lease, Write::Fail(failure.as_ref())).await?;
        let status = failure.as_ref().map(|outcome| outcome.status);
        lease = contender.takes_over(attempt, PreviousAttempt::Failed { status }).await?;
    }
    contender.finds_running(&lease).await
}

/// A request that does not rerun abandoned attempts finds a record whose lease has lapsed. One that
/// does takes it over, and the lease says that the attempt before was abandoned.
pub(crate) async fn an_abandoned_record_is_taken_over_only_when_asked<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let contender = Contender::new(trial).with_lease(1.0);
    let lease = contender.acquires_first().await?;

    contender.after(2.0).await.finds_abandoned(&lease).await?;
    contender.rerunning_failed().finds_abandoned(&lease).await?;

    let successor = contender.rerunning_abandoned().with_lease(2.0);
    let second = successor.takes_over(2, PreviousAttempt::Abandoned).await?;
    are_different(&lease, &second)?;
    successor.finds_running(&second).await?;

    successor.after(3.0).await;
    let third = successor.with_lease(20.0).takes_over(3, PreviousAttempt::Abandoned).await?;
    contender.finds_running(&third).await
}

/// Of 50 contenders at once exactly one takes over an abandoned record. The others find the new
/// attempt.
pub(crate) async fn of_many_contenders_one_takes_over_an_abandoned_record<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let contender = Contender::new(trial);
    let lease = contender.with_lease(1.0).acquires_first().await?;
    contender.after(2.0).await;

    let contender = contender.rerunning_abandoned().rerunning_failed();
    let second = contender.one_of_many_acquires(2, Some(PreviousAttempt::Abandoned)).await?;
    are_different(&lease, &second)?;
    contender.finds_running(&second).await
}

/// A contender with another fingerprint does not take over an abandoned record.
pub(crate) async fn an_abandoned_record_of_another_operation_is_never_taken_over<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let owner = Contender::new(trial).with_lease(1.0);
    let lease = owner.acquires_first().await?;
    owner.after(2.0).await;

    let other = owner.with_another_operation().rerunning_abandoned().rerunning_failed();
    other.finds_abandoned(&lease).await?;
    owner.finds_abandoned(&lease).await?;
    let second = owner.rerunning_abandoned().with_lease(20.0);
    let second = second.takes_over(2, PreviousAttempt::Abandoned).await?;
    other.finds_running(&second).await
}
