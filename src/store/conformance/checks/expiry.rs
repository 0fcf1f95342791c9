//! A record stays for its retention and not longer, by the clock of the store.

use std::time::Duration;

use crate::store::Store;
use crate::store::conformance::contender::Contender;
use crate::store::conformance::failure::Checked;
use crate::store::conformance::given::{large_response, response};
use crate::store::conformance::together::{self, Boxed};
use crate::store::conformance::told::Write;
use crate::store::conformance::trial::Trial;

/// A pending record is there, abandoned, until its retention is over. Then the key is free.
pub(crate) async fn a_pending_record_expires<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let contender = Contender::new(trial).with_lease(1.0).with_retention(4.0);
    let lease = contender.acquires_first().await?;

    contender.after(2.0).await.finds_abandoned(&lease).await?;
    contender.after(2.5).await.acquires_first().await?;
    Ok(())
}

/// A success is found until its retention is over. Then the key is free for any operation.
pub(crate) async fn a_success_expires<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let check = async |stored| {
        let contender = Contender::new(trial);
        let lease = contender.acquires_first().await?;
        contender.applies_for(4.0, &lease, Write::Complete(&stored)).await?;

        contender.after(2.0).await.finds_success(&lease, &stored).await?;
        contender.after(3.0).await.with_another_operation().acquires_first().await
    };
    tokio::try_join!(check(response(201, "small")), check(large_response(201, b'L')))?;
    Ok(())
}

/// A failure is found until its retention is over. Then an attempt is the first again, also for a
/// request that reruns failures.
pub(crate) async fn a_failure_expires<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let check = async |stored: Option<_>| {
        let contender = Contender::new(trial);
        let lease = contender.acquires_first().await?;
        contender.applies_for(4.0, &lease, Write::Fail(stored.as_ref())).await?;

        contender.after(2.0).await.finds_failed(&lease, stored.as_ref()).await?;
        contender.after(3.0).await.rerunning_failed().acquires_first().await
    };
    let (small, large) = (Some(response(500, "small")), Some(large_response(500, b'L')));
    tokio::try_join!(check(None), check(small), check(large))?;
    Ok(())
}

/// The retention of a response counts from when it was stored, not from when the key was reserved.
/// It may end before or after the retention of the pending record.
pub(crate) async fn retention_counts_from_completion<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let stored = response(201, "stored");
    let longer = async {
        let contender = Contender::new(trial).with_lease(3.0).with_retention(4.0);
        let lease = contender.acquires_first().await?;
        contender.after(2.0).await.applies_for(4.0, &lease, Write::Complete(&stored)).await?;
        contender.after(2.75).await.finds_success(&lease, &stored).await?;
        contender.after(2.0).await.acquires_first().await
    };
    let shorter = async {
        let contender = Contender::new(trial);
        let lease = contender.acquires_first().await?;
        contender.applies_for(1.0, &lease, Write::Complete(&stored)).await?;
        contender.after(2.0).await.acquires_first().await
    };
    tokio::try_join!(longer, shorter)?;
    Ok(())
}

/// A renewal that comes after the end does not lengthen the retention of the response.
pub(crate) async fn a_lost_renew_keeps_no_finished_record<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let stored = response(201, "stored");
    let check = async |end| {
        let contender = Contender::new(trial);
        let lease = contender.acquires_first().await?;
        contender.applies_for(2.0, &lease, end).await?;
        contender.after(1.0).await.loses(&lease, Write::Renew).await?;
        contender.after(2.0).await.acquires_first().await
    };
    tokio::try_join!(check(Write::Complete(&stored)), check(Write::Fail(Some(&stored))))?;
    Ok(())
}

/// Three quarters of a unit are neither none nor one, and 1.75 units are neither one nor two. With
/// a unit of one second this finds a store that counts in whole seconds.
pub(crate) async fn fractions_of_a_unit_count<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let stored = response(201, "stored");
    let finished = async |units| {
        let contender = Contender::new(trial);
        let lease = contender.acquires_first().await?;
        contender.applies_for(units, &lease, Write::Complete(&stored)).await?;
        contender.after(units - 0.75).await.finds_success(&lease, &stored).await?;
        contender.after(0.9).await.acquires_first().await?;
        Ok(())
    };
    let pending = async |units| {
        let contender = Contender::new(trial).with_lease(units);
        let lease = contender.acquires_first().await?;
        contender.after(units - 0.75).await.finds_running(&lease).await?;
        contender.after(0.9).await.finds_abandoned(&lease).await
    };
    let checks: [Boxed<'_, Checked>; 4] = [
        Box::pin(finished(0.75)),
        Box::pin(finished(1.75)),
        Box::pin(pending(0.75)),
        Box::pin(pending(1.75)),
    ];
    together::all_pass(checks).await
}

/// A lease or retention that is too short for the clock of the store is over soon. It is not an
/// error and does not mean "without end".
pub(crate) async fn the_shortest_times_still_pass<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let mut brief = Contender::new(trial);
    brief.request.lease = Duration::from_nanos(1);
    let abandoned = brief.acquires_first().await?;

    let finished = Contender::new(trial);
    let lease = finished.acquires_first().await?;
    let stored = response(201, "stored");
    finished.applies_for_a_nanosecond(&lease, Write::Complete(&stored)).await?;

    brief.after(1.0).await.finds_abandoned(&abandoned).await?;
    finished.acquires_first().await?;
    Ok(())
}
