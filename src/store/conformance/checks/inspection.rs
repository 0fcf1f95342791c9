//! An inspection reads the record under a key, whole, and changes nothing.

use crate::store::conformance::contender::Contender;
use crate::store::conformance::failure::Checked;
use crate::store::conformance::given::{large_response, response};
use crate::store::conformance::told::Write;
use crate::store::conformance::trial::Trial;
use crate::store::{State, Store};

/// A key without a record is free, and still is after an inspection.
pub(crate) async fn to_inspect_a_free_key_reserves_nothing<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let contender = Contender::new(trial);
    contender.inspects_nothing().await?;
    let lease = contender.acquires_first().await?;
    contender.applies(&lease, Write::Release).await?;
    contender.inspects_nothing().await
}

/// Every state is read with its attempt and its response, small or large, and stays as it is.
pub(crate) async fn an_inspection_reads_the_record_whole<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let pending = Contender::new(trial);
    let lease = pending.acquires_first().await?;
    pending.inspects_state(&lease, State::Pending { abandoned: false }).await?;
    pending.finds_running(&lease).await?;

    for stored in [response(201, "stored"), large_response(201, b'K')] {
        let finished = Contender::new(trial);
        let lease = finished.acquires_first().await?;
        finished.applies(&lease, Write::Complete(&stored)).await?;
        finished.inspects_state(&lease, State::Success(stored.clone())).await?;
        finished.finds_success(&lease, &stored).await?;

        let failed = Contender::new(trial);
        let lease = failed.acquires_first().await?;
        failed.applies(&lease, Write::Fail(Some(&stored))).await?;
        failed.inspects_state(&lease, State::Failed(Some(stored.clone()))).await?;
        failed.finds_failed(&lease, Some(&stored)).await?;
    }
    Ok(())
}

/// An attempt whose lease has lapsed is read as abandoned, and stays abandoned after the
/// inspection.
pub(crate) async fn an_inspection_tells_abandoned_from_running<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let contender = Contender::new(trial).with_lease(2.0);
    let lease = contender.acquires_first().await?;
    contender.after(3.0).await;
    for _ in 0..2 {
        contender.inspects_state(&lease, State::Pending { abandoned: true }).await?;
    }
    contender.finds_abandoned(&lease).await
}
