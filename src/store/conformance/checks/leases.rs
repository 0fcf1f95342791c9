//! A lease lasts as long as it was given or renewed for. A lapsed one is lost only to a take-over.

use std::future::poll_fn;
use std::panic::Location;
use std::pin::pin;
use std::task::Poll;

use crate::store::conformance::contender::{Contender, step};
use crate::store::conformance::failure::Checked;
use crate::store::conformance::given::{forged, large_response, response};
use crate::store::conformance::told::{Told, Write};
use crate::store::conformance::trial::Trial;
use crate::store::{Lease, PreviousAttempt, Reservation, State, Store};

/// Before its lease lapses an attempt is running, and is not taken over. After that it is
/// abandoned.
pub(crate) async fn a_running_attempt_is_not_abandoned_before_its_lease_lapses<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let contender = Contender::new(trial).with_lease(4.0);
    let lease = contender.acquires_first().await?;

    let eager = contender.rerunning_abandoned().rerunning_failed();
    eager.after(2.0).await.finds_running(&lease).await?;
    contender.after(3.0).await.finds_abandoned(&lease).await
}

/// A renewed attempt is running past its first lease, and its record stays past its first
/// retention. Both then end as counted from the renewal.
pub(crate) async fn renew_extends_lease_and_retention<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let contender = Contender::new(trial).with_lease(3.0).with_retention(6.0);
    let lease = contender.acquires_first().await?;

    contender.after(2.0).await.applies(&lease, Write::Renew).await?;
    contender.after(1.5).await.finds_running(&lease).await?;
    contender.after(2.75).await.finds_abandoned(&lease).await?;
    contender.after(2.0).await.acquires_first().await?;
    Ok(())
}

/// A renewal that comes after the end brings nothing back: not a released record, and not a
/// finished one to pending.
pub(crate) async fn renew_revives_nothing<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let stored = response(201, "stored");

    let completed = Contender::new(trial);
    let lease = completed.acquires_first().await?;
    completed.applies(&lease, Write::Complete(&stored)).await?;
    completed.loses(&lease, Write::Renew).await?;
    completed.finds_success(&lease, &stored).await?;

    let failed = Contender::new(trial);
    let lease = failed.acquires_first().await?;
    failed.applies(&lease, Write::Fail(Some(&stored))).await?;
    failed.loses(&lease, Write::Renew).await?;
    failed.finds_failed(&lease, Some(&stored)).await?;

    let released = Contender::new(trial);
    let lease = released.acquires_first().await?;
    released.applies(&lease, Write::Release).await?;
    released.loses(&lease, Write::Renew).await?;
    released.acquires_first().await?;
    Ok(())
}

/// A caller without the token does not make an attempt live longer.
pub(crate) async fn another_token_keeps_no_lease_alive<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let contender = Contender::new(trial).with_lease(2.0).with_retention(6.0);
    let lease = contender.acquires_first().await?;

    contender.after(1.0).await.loses_every_write(&forged(&lease)).await?;
    contender.after(1.5).await.finds_abandoned(&lease).await?;
    contender.after(4.0).await.acquires_first().await?;
    Ok(())
}

/// As long as the record was not taken over, its owner may settle it, however late.
pub(crate) async fn a_late_owner_may_still_settle_what_was_not_taken_over<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let [completing, failing, releasing] =
        std::array::from_fn(|_| Contender::new(trial).with_lease(1.0));
    let to_complete = completing.acquires_first().await?;
    let to_fail = failing.acquires_first().await?;
    let to_release = releasing.acquires_first().await?;
    let (late, large) = (response(500, "late"), large_response(200, b'O'));

    completing.after(2.0).await.finds_abandoned(&to_complete).await?;
    completing.applies(&to_complete, Write::Complete(&large)).await?;
    completing.rerunning_abandoned().finds_success(&to_complete, &large).await?;
    failing.applies(&to_fail, Write::Fail(Some(&late))).await?;
    failing.rerunning_abandoned().finds_failed(&to_fail, Some(&late)).await?;
    releasing.applies(&to_release, Write::Release).await?;
    releasing.acquires_first().await?;
    Ok(())
}

/// As long as the record was not taken over, a late renewal makes the attempt a running one again.
pub(crate) async fn a_late_owner_may_still_renew_what_was_not_taken_over<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let contender = Contender::new(trial).with_lease(2.0);
    let lease = contender.acquires_first().await?;

    contender.after(3.0).await.finds_abandoned(&lease).await?;
    contender.applies(&lease, Write::Renew).await?;
    contender.rerunning_abandoned().finds_running(&lease).await?;
    contender.after(3.0).await.finds_abandoned(&lease).await
}

/// An attempt gives its lease up by a renewal with a lease of zero. The record is then abandoned at
/// once: it is taken over like one whose lease has lapsed, and put back like one.
pub(crate) async fn a_lease_that_is_given_up_has_lapsed_at_once<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let contender = Contender::new(trial);
    let lease = contender.acquires_first().await?;
    contender.applies(&lease.given_up(), Write::Renew).await?;
    contender.rerunning_failed().finds_abandoned(&lease).await?;
    contender.inspects_state(&lease, State::Pending { abandoned: true }).await?;

    let successor = contender.rerunning_abandoned();
    let second = successor.takes_over(2, PreviousAttempt::Abandoned).await?;
    contender.loses(&lease.given_up(), Write::Renew).await?;
    contender.loses_every_write(&lease).await?;
    successor.finds_running(&second).await?;
    contender.applies(&second, Write::Release).await?;
    contender.finds_abandoned(&Lease { attempt: 2, ..lease }).await?;

    let third = successor.takes_over(3, PreviousAttempt::Abandoned).await?;
    contender.applies(&third.given_up(), Write::Renew).await?;
    contender.finds_abandoned(&third).await
}

/// A reserve that is dropped half way may have taken effect. Its lease was never given out, so the
/// key can be acquired again when that lease has lapsed.
pub(crate) async fn a_dropped_reserve_holds_the_key_no_longer_than_its_lease<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let contender = Contender::new(trial).with_lease(1.0).with_retention(6.0);
    {
        let mut reserve = pin!(trial.store.reserve(&contender.request));
        poll_fn(|cx| Poll::Ready(reserve.as_mut().poll(cx).is_ready())).await;
    }
    // A store that serves one operation after another has served that one before this one.
    Contender::new(trial).acquires_first().await?;
    let successor = contender.rerunning_abandoned();
    let step =
        step("reserve", "a dropped reserve was made, and its lease has lapsed", Location::caller());
    let reply = successor.after(2.0).await.reserve(&step).await?;
    trial.reserved(&reply);
    match reply.value {
        Reservation::Acquired(_) => Ok(()),
        Reservation::Found(found) => {
            Err(trial.flaw_unless_slow(&step, "Acquired", format!("Found {}", Told(&found))))
        }
    }
}
