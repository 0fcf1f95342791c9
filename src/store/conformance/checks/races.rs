//! Callers on several threads act at the same moment. If a store looks at a record, and writes
//! later without a second look, two of them win.

use http::StatusCode;
use tokio::time::Instant;

use crate::store::conformance::contender::Contender;
use crate::store::conformance::failure::Checked;
use crate::store::conformance::given::response;
use crate::store::conformance::together;
use crate::store::conformance::told::Write;
use crate::store::conformance::trial::Trial;
use crate::store::{Lease, PreviousAttempt, Store};

/// How often each race is run: one race alone may hide a gap of a few nanoseconds.
const ROUNDS: usize = 50;

/// A first reservation: one caller acquires the key.
pub(crate) async fn of_parallel_contenders_one_acquires<S: Store>(trial: &Trial<'_, S>) -> Checked {
    for _ in rounds(trial) {
        let contender = Contender::new(trial);
        let lease = contender.one_in_parallel_acquires(1, None).await?;
        contender.finds_running(&lease).await?;
        contender.applies(&lease, Write::Release).await?;
    }
    Ok(())
}

/// A failed record: one caller takes it over.
pub(crate) async fn of_parallel_contenders_one_takes_over_a_failed_record<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let failure = response(502, "no gateway");
    let previous = PreviousAttempt::Failed { status: Some(StatusCode::BAD_GATEWAY) };
    for _ in rounds(trial) {
        let contender = Contender::new(trial).rerunning_failed().rerunning_abandoned();
        let lease = contender.acquires_first().await?;
        contender.applies(&lease, Write::Fail(Some(&failure))).await?;
        let second = contender.one_in_parallel_acquires(2, Some(previous)).await?;
        contender.finds_running(&second).await?;
    }
    Ok(())
}

/// An abandoned record: one caller takes it over.
pub(crate) async fn of_parallel_contenders_one_takes_over_an_abandoned_record<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let abandoned = abandoned(trial).await?;
    for (_, (owner, _)) in rounds(trial).zip(&abandoned) {
        let contender = owner.with_lease(20.0).rerunning_abandoned();
        let previous = Some(PreviousAttempt::Abandoned);
        let second = contender.one_in_parallel_acquires(2, previous).await?;
        contender.finds_running(&second).await?;
    }
    Ok(())
}

/// An attempt is completed, failed, released and renewed: one response is stored.
pub(crate) async fn of_parallel_writes_one_settles_the_attempt<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    for round in rounds(trial) {
        let contender = Contender::new(trial);
        let lease = contender.acquires_first().await?;
        contender.is_settled_once(&lease, round).await?;
    }
    Ok(())
}

/// An abandoned record whose owner is late: it is settled, or one caller takes it over.
pub(crate) async fn a_late_writer_or_a_parallel_take_over_wins<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let stored = response(201, "late");
    let writes = [Write::Complete(&stored), Write::Fail(None), Write::Release, Write::Renew];
    let abandoned = abandoned(trial).await?;
    for (round, (owner, late)) in rounds(trial).zip(&abandoned) {
        let contender = owner.with_lease(20.0).rerunning_abandoned();
        // The owner is the first on this thread, and then on another one.
        let (write, number) = (writes[round % 4], round / 4 % 2);
        contender.takes_over_or_finds(late, write, number).await?;
    }
    Ok(())
}

/// For half a unit at most, so that a slow store has a few rounds only.
fn rounds<S>(trial: &Trial<'_, S>) -> impl Iterator<Item = usize> + Send + use<S> {
    let until = Instant::now() + trial.unit / 2;
    (0..ROUNDS).take_while(move |round| *round == 0 || Instant::now() < until)
}

/// Abandoned records, each with a contender for its key. A slow store has a few only.
async fn abandoned<'a, S: Store>(
    trial: &'a Trial<'a, S>,
) -> Checked<Vec<(Contender<'a, S>, Lease)>> {
    let abandoning = rounds(trial).map(|_| async {
        let owner = Contender::new(trial).with_lease(1.0);
        let lease = owner.acquires_first().await?;
        Ok((owner, lease))
    });
    let abandoned = together::some_at_a_time(together::FEW, abandoning).await;
    trial.sleep(trial.unit * 2).await;
    abandoned.into_iter().collect()
}
