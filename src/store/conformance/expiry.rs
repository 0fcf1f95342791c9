//! A record stays for its retention and not longer, by the clock of the store, and is then as if it had never been.

use std::time::Duration;

use super::super::Store;
use super::contender::Contender;
use super::given::{answer, large_answer};
use super::together::{self, Check};
use super::told::Write;

/// A pending record is there, abandoned, until its retention is over; then the key is free.
pub async fn a_pending_record_expires<S: Store>(store: &S, unit: Duration) {
    let contender = Contender::new(store, unit).with_lease(1.0).with_retention(3.0);
    let lease = contender.acquires_first().await;

    contender.after(2.0).await.finds_abandoned(&lease).await;
    contender.after(2.0).await.acquires_first().await;
}

/// A success is found until its retention is over, looked at or not; then the key is free for any operation.
pub async fn a_success_expires<S: Store>(store: &S, unit: Duration) {
    let check = async |kept| {
        let contender = Contender::new(store, unit);
        let lease = contender.acquires_first().await;
        contender.applies_for(4.0, &lease, Write::Complete(&kept)).await;

        contender.after(2.0).await.finds_success(&lease, &kept).await;
        contender.after(3.0).await.with_another_operation().acquires_first().await;
    };
    tokio::join!(check(answer(201, "small")), check(large_answer(201, b'L')));
}

/// A failure is found until its retention is over; then an attempt is the first again, also for those who rerun.
pub async fn a_failure_expires<S: Store>(store: &S, unit: Duration) {
    let check = async |kept: Option<_>| {
        let contender = Contender::new(store, unit);
        let lease = contender.acquires_first().await;
        contender.applies_for(4.0, &lease, Write::Fail(kept.as_ref())).await;

        contender.after(2.0).await.finds_failed(&lease, kept.as_ref()).await;
        contender.after(3.0).await.rerunning_failed().acquires_first().await;
    };
    tokio::join!(check(None), check(Some(answer(500, "small"))), check(Some(large_answer(500, b'L'))));
}

/// The retention of an answer counts from when it was kept, not from when the key was reserved: it outlasts the
/// retention of the pending record, or ends before that would have.
pub async fn retention_counts_from_completion<S: Store>(store: &S, unit: Duration) {
    let kept = answer(201, "kept");
    let longer = async {
        let contender = Contender::new(store, unit).with_lease(3.0).with_retention(4.0);
        let lease = contender.acquires_first().await;
        contender.after(2.0).await.applies_for(4.0, &lease, Write::Complete(&kept)).await;
        contender.after(2.75).await.finds_success(&lease, &kept).await;
        contender.after(2.0).await.acquires_first().await;
    };
    let shorter = async {
        let contender = Contender::new(store, unit);
        let lease = contender.acquires_first().await;
        contender.applies_for(1.0, &lease, Write::Complete(&kept)).await;
        contender.after(2.0).await.acquires_first().await;
    };
    tokio::join!(longer, shorter);
}

/// A heartbeat that comes after the end does not lengthen the retention of what was kept.
pub async fn a_lost_renew_keeps_no_finished_record<S: Store>(store: &S, unit: Duration) {
    let kept = answer(201, "kept");
    let check = async |end| {
        let contender = Contender::new(store, unit);
        let lease = contender.acquires_first().await;
        contender.applies_for(2.0, &lease, end).await;
        contender.after(1.0).await.loses(&lease, Write::Renew).await;
        contender.after(2.0).await.acquires_first().await;
    };
    tokio::join!(check(Write::Complete(&kept)), check(Write::Fail(Some(&kept))));
}

/// Half a unit is not cut to none, and one and a half units are neither one nor two: with a unit of one second this
/// tells a store that counts in whole seconds.
pub async fn fractions_of_a_unit_are_kept<S: Store>(store: &S, unit: Duration) {
    let kept = answer(201, "kept");
    let retention = async {
        let [half, more] = [(); 2].map(|()| Contender::new(store, unit));
        let lease_of_half = half.acquires_first().await;
        let lease_of_more = more.acquires_first().await;
        more.applies_for(1.5, &lease_of_more, Write::Complete(&kept)).await;
        half.applies_for(0.5, &lease_of_half, Write::Complete(&kept)).await;
        half.finds_success(&lease_of_half, &kept).await;
        half.after(0.75).await.acquires_first().await;
        more.after(0.35).await.finds_success(&lease_of_more, &kept).await;
        more.after(0.65).await.acquires_first().await;
    };
    let lease = async {
        let half = Contender::new(store, unit).with_lease(0.5);
        let more = Contender::new(store, unit).with_lease(1.5);
        let lease_of_more = more.acquires_first().await;
        let lease_of_half = half.acquires_first().await;
        half.finds_running(&lease_of_half).await;
        half.after(0.75).await.finds_abandoned(&lease_of_half).await;
        more.after(0.35).await.finds_running(&lease_of_more).await;
        more.after(0.65).await.finds_abandoned(&lease_of_more).await;
    };
    let both: [Check<'_>; 2] = [Box::pin(retention), Box::pin(lease)];
    together::all(both).await;
}

/// A lease or retention too short for the clock of the store is over soon; it is no error, and does not mean that
/// there is no end.
pub async fn the_shortest_times_still_pass<S: Store>(store: &S, unit: Duration) {
    let mut brief = Contender::new(store, unit);
    brief.request.lease = Duration::from_nanos(1);
    let abandoned = brief.acquires_first().await;

    let finished = Contender::new(store, unit);
    let lease = finished.acquires_first().await;
    let kept = answer(201, "kept");
    finished.applies_for_a_nanosecond(&lease, Write::Complete(&kept)).await;

    brief.after(1.0).await.finds_abandoned(&abandoned).await;
    finished.acquires_first().await;
}
