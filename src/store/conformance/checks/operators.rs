//! An operator changes the record that it saw, and no other one. A store without methods for
//! operators passes.

use crate::store::conformance::contender::Contender;
use crate::store::conformance::failure::Checked;
use crate::store::conformance::given::{response, settled_by_hand};
use crate::store::conformance::told::Write;
use crate::store::conformance::trial::Trial;
use crate::store::operator::RecordState;
use crate::store::{PreviousAttempt, State, Store};

/// The record is settled, and the key is freed. The history has each change once.
pub(crate) async fn an_intervention_applies_once_and_leaves_an_entry<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let stored = response(201, "by hand");
    for state in [Some(State::Success(stored.clone())), Some(State::Failed(None)), None] {
        let contender = Contender::new(trial);
        let lease = contender.acquires_first().await?;
        contender.applies(&lease, Write::Fail(Some(&response(502, "no gateway")))).await?;
        let Some(seen) = contender.shows_record().await? else { return Ok(()) };
        contender.intervenes(&seen, state.clone(), "Applied").await?;
        contender.intervenes(&seen, state.clone(), "AlreadyApplied").await?;
        match state {
            Some(state) => contender.inspects_state(&settled_by_hand(&lease), state).await?,
            None => contender.inspects_nothing().await?,
        }
        contender.has_history(1).await?;
    }
    Ok(())
}

/// The record was taken over since the operator saw it. The attempt that runs is not disturbed.
pub(crate) async fn an_intervention_leaves_a_record_that_has_moved_on<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let contender = Contender::new(trial).rerunning_failed();
    let lease = contender.acquires_first().await?;
    contender.applies(&lease, Write::Fail(None)).await?;
    let Some(seen) = contender.shows_record().await? else { return Ok(()) };
    let previous = PreviousAttempt::Failed { status: None };
    let second = contender.takes_over(2, previous).await?;
    contender.intervenes(&seen, None, "Moved").await?;
    contender.intervenes(&seen, Some(State::Failed(None)), "Moved").await?;
    contender.applies(&second, Write::Renew).await?;
    contender.has_history(0).await?;
    contender.applies(&second, Write::Release).await?;
    // Gone since the operator saw it.
    let other = Contender::new(trial);
    let lease = other.acquires_first().await?;
    let Some(seen) = other.shows_record().await? else { return Ok(()) };
    other.applies(&lease, Write::Release).await?;
    other.intervenes(&seen, None, "Moved").await
}

/// An attempt whose record an operator has changed has lost its lease.
pub(crate) async fn an_intervention_fences_the_attempt<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let stored = response(201, "by hand");
    let contender = Contender::new(trial);
    let lease = contender.acquires_first().await?;
    let Some(seen) = contender.shows_record().await? else { return Ok(()) };
    let is_seen = seen.state == RecordState::InFlight && seen.token == lease.token;
    contender.sees("the running attempt", is_seen, &seen)?;
    contender.intervenes(&seen, Some(State::Success(stored.clone())), "Applied").await?;
    let late = response(500, "late");
    for write in [Write::Renew, Write::Complete(&late), Write::Fail(None), Write::Release] {
        contender.loses(&lease, write).await?;
    }
    contender.finds_success(&settled_by_hand(&lease), &stored).await
}

/// The attempt that lost its record has written it anew, under the same token. That record is changed
/// too.
pub(crate) async fn an_intervention_applies_again_to_a_record_that_was_written_anew<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let contender = Contender::new(trial);
    let lease = contender.acquires_first().await?;
    let Some(seen) = contender.shows_record().await? else { return Ok(()) };
    contender.intervenes(&seen, None, "Applied").await?;
    contender.applies(&lease, Write::Complete(&response(201, "late"))).await?;
    let Some(seen) = contender.shows_record().await? else { return Ok(()) };
    contender.intervenes(&seen, None, "Applied").await?;
    contender.inspects_nothing().await?;
    contender.has_history(2).await
}

/// The lease has lapsed and the attempt renews it before the operator acts.
pub(crate) async fn an_intervention_on_an_abandoned_record_leaves_one_that_was_renewed<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let contender = Contender::new(trial).with_lease(1.0);
    let lease = contender.acquires_first().await?;
    contender.after(2.0).await;
    let Some(seen) = contender.shows_record().await? else { return Ok(()) };
    contender.sees("an abandoned attempt", seen.state == RecordState::Abandoned, &seen)?;
    contender.applies(&lease, Write::Renew).await?;
    contender.intervenes(&seen, None, "Moved").await?;
    contender.applies(&lease, Write::Renew).await
}

/// Each record is listed once, whatever its state, and none that is gone.
pub(crate) async fn a_list_has_each_record_once<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let contender = Contender::new(trial);
    let lease = contender.acquires_first().await?;
    contender.is_listed(1).await?;
    contender.applies(&lease, Write::Fail(None)).await?;
    contender.is_listed(1).await?;
    let gone = Contender::new(trial);
    let lease = gone.acquires_first().await?;
    gone.applies(&lease, Write::Release).await?;
    gone.is_listed(0).await
}

/// Operators that send the same change at the same moment make it once.
pub(crate) async fn of_parallel_interventions_one_applies<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    for _ in 0..5 {
        let contender = Contender::new(trial);
        let lease = contender.acquires_first().await?;
        contender.applies(&lease, Write::Fail(None)).await?;
        let Some(seen) = contender.shows_record().await? else { return Ok(()) };
        let state = State::Success(response(201, "by hand"));
        contender.one_in_parallel_intervenes(&seen, &state).await?;
        contender.has_history(1).await?;
    }
    Ok(())
}
