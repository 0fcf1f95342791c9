//! A caller that waits for a pending record learns soon that it changed, and never waits past the
//! bound.

use tokio::time::timeout;

use crate::record::outcome::Outcome;
use crate::store::conformance::contender::Contender;
use crate::store::conformance::failure::Checked;
use crate::store::conformance::given::response;
use crate::store::conformance::told::Write;
use crate::store::conformance::trial::Trial;
use crate::store::{Lease, PreviousAttempt, Record, Reservation, State, Store};

/// A caller that waits for a running attempt has its response soon after it was completed.
pub(crate) async fn a_waiter_learns_soon_that_the_record_was_completed<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let stored = response(201, "stored");
    let owner = Contender::new(trial);
    let lease = owner.acquires_first().await?;
    owner.waits_while_settled(&lease, Write::Complete(&stored), 1, success(&stored)).await
}

/// A caller that waits for a running attempt knows soon after it failed.
pub(crate) async fn a_waiter_learns_soon_that_the_record_failed<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let owner = Contender::new(trial);
    let lease = owner.acquires_first().await?;
    owner.waits_while_settled(&lease, Write::Fail(None), 1, failure()).await
}

/// A caller that waits for a running attempt acquires the key soon after it was released.
pub(crate) async fn a_waiter_learns_soon_that_the_key_was_released<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let owner = Contender::new(trial);
    let lease = owner.acquires_first().await?;
    let acquires = |reservation: &Reservation| {
        matches!(reservation, Reservation::Acquired(Lease { attempt: 1, .. }))
    };
    owner.waits_while_settled(&lease, Write::Release, 1, ("Acquired, as attempt 1", acquires)).await
}

/// A caller that waits for a later attempt finds, soon after its release, what it had taken over.
pub(crate) async fn a_waiter_learns_soon_that_a_later_attempt_was_released<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let owner = Contender::new(trial);
    let first = owner.acquires_first().await?;
    owner.applies(&first, Write::Fail(None)).await?;
    let later =
        owner.rerunning_failed().takes_over(2, PreviousAttempt::Failed { status: None }).await?;
    owner.waits_while_settled(&later, Write::Release, 1, failure()).await
}

/// A caller that waits for a running attempt knows soon that the attempt gave its lease up.
pub(crate) async fn a_waiter_learns_soon_that_the_lease_was_given_up<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let owner = Contender::new(trial);
    let lease = owner.acquires_first().await?;
    let abandoned = Some(PreviousAttempt::Abandoned);
    let acquires = move |reservation: &Reservation| matches!(reservation, Reservation::Acquired(Lease { attempt: 2, previous, .. }) if *previous == abandoned);
    let expected = ("Acquired, as attempt 2 after Abandoned", acquires);
    let waiter = owner.rerunning_abandoned();
    waiter.waits_while_settled(&lease.given_up(), Write::Renew, 1, expected).await
}

/// All of 50 waiters have the response soon after it was completed.
pub(crate) async fn many_waiters_all_learn_of_the_change<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let stored = response(201, "stored");
    let owner = Contender::new(trial);
    let lease = owner.acquires_first().await?;
    owner.waits_while_settled(&lease, Write::Complete(&stored), 50, success(&stored)).await
}

/// A record that changes after it was seen and before the wait ends that wait soon.
pub(crate) async fn a_change_before_the_wait_is_not_missed<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let stored = response(201, "stored");
    for end in [Write::Complete(&stored), Write::Fail(None), Write::Release] {
        let contender = Contender::new(trial).rerunning_failed();
        let lease = contender.acquires_first().await?;
        contender.applies(&lease, end).await?;
        contender.waits_for_the_past(&lease).await?;
    }

    let contender = Contender::new(trial).rerunning_failed();
    let lease = contender.acquires_first().await?;
    contender.applies(&lease, Write::Fail(None)).await?;
    let second = contender.takes_over(2, PreviousAttempt::Failed { status: None }).await?;
    contender.waits_for_the_past(&lease).await?;
    contender.finds_running(&second).await
}

/// A wait for an attempt that runs on ends by its bound, in every round. Neither that nor a wait
/// that is dropped changes the record.
pub(crate) async fn a_wait_ends_by_its_bound<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let contender = Contender::new(trial);
    let lease = contender.acquires_first().await?;
    contender.waits(&lease, 0, 1.0).await?;
    contender.waits(&lease, 9, 1.0).await?;
    contender.waits(&lease, u32::MAX, 0.0).await?;

    if let Ok(waited) = timeout(trial.unit / 2, contender.waits(&lease, 3, 10.0)).await {
        waited?;
    }
    contender.finds_running(&lease).await?;
    contender.applies(&lease, Write::Renew).await
}

/// While the record does not change, waits take their time: a caller that waits and looks by turns
/// does not run hot.
pub(crate) async fn waits_on_a_record_that_does_not_change_take_time<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let contender = Contender::new(trial);
    let lease = contender.acquires_first().await?;
    contender.waits_in_a_row(&lease).await?;
    contender.finds_running(&lease).await
}

/// What a waiter finds, in words and in fact.
fn success(stored: &Outcome) -> (&'static str, impl Fn(&Reservation) -> bool + Send) {
    let finds = move |reservation: &Reservation| matches!(reservation, Reservation::Found(Record { state: State::Success(found), .. }) if found == stored);
    ("Found a success with the response", finds)
}

fn failure() -> (&'static str, impl Fn(&Reservation) -> bool + Send) {
    let finds = |reservation: &Reservation| {
        matches!(reservation, Reservation::Found(Record { state: State::Failed(None), .. }))
    };
    ("Found a failure without a response", finds)
}
