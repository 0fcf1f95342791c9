//! Inspection tells what stands under a key, whole, and changes nothing.

use std::time::Duration;

use super::super::{Record, State, Store};
use super::contender::Contender;
use super::given::{answer, large_answer};
use super::told::{Told, Write};
use crate::record::outcome::Outcome;

/// A key that nobody has reserved is free, and still is after somebody has looked.
pub async fn to_inspect_a_free_key_reserves_nothing<S: Store>(store: &S, unit: Duration) {
    let contender = Contender::new(store, unit);
    assert_free(&contender).await;
    let lease = contender.acquires_first().await;
    contender.applies(&lease, Write::Release).await;
    assert_free(&contender).await;
}

/// Every state is told with its attempt and its answer, small or large, and stands as it did.
pub async fn an_inspection_tells_the_record_whole<S: Store>(store: &S, unit: Duration) {
    let pending = Contender::new(store, unit);
    let lease = pending.acquires_first().await;
    let record = inspected(&pending).await;
    assert!(matches!(record.state, State::Pending { abandoned: false }), "{}", Told(&record));
    assert_eq!((record.attempt, record.token), (1, lease.token), "{}", Told(&record));
    assert_eq!(record.fingerprint, lease.fingerprint, "{}", Told(&record));
    pending.finds_running(&lease).await;

    for kept in [answer(201, "kept"), large_answer(201, b'K')] {
        let finished = Contender::new(store, unit);
        let lease = finished.acquires_first().await;
        finished.applies(&lease, Write::Complete(&kept)).await;
        assert_inspected_success(&finished, &kept).await;
        finished.finds_success(&lease, &kept).await;

        let failed = Contender::new(store, unit);
        let lease = failed.acquires_first().await;
        failed.applies(&lease, Write::Fail(Some(&kept))).await;
        let record = inspected(&failed).await;
        assert!(
            matches!(&record.state, State::Failed(Some(outcome)) if *outcome == kept),
            "an inspection should tell the failed answer, but told {}",
            Told(&record)
        );
        failed.finds_failed(&lease, Some(&kept)).await;
    }
}

/// An attempt whose lease has lapsed is told from one that runs, and is no less abandoned for having been looked at.
pub async fn an_inspection_tells_abandoned_from_running<S: Store>(store: &S, unit: Duration) {
    let contender = Contender::new(store, unit).with_lease(2.0);
    let lease = contender.acquires_first().await;
    contender.after(3.0).await;
    for _ in 0..2 {
        let record = inspected(&contender).await;
        assert!(matches!(record.state, State::Pending { abandoned: true }), "{}", Told(&record));
    }
    contender.finds_abandoned(&lease).await;
}

async fn assert_free<S: Store>(contender: &Contender<'_, S>) {
    let found = contender.inspects().await;
    assert!(found.is_none(), "the key is free, but there was {}", Told(&found.expect("it is some")));
}

async fn inspected<S: Store>(contender: &Contender<'_, S>) -> Record {
    contender.inspects().await.expect("an inspection should tell the record that stands there")
}

async fn assert_inspected_success<S: Store>(contender: &Contender<'_, S>, kept: &Outcome) {
    let record = inspected(contender).await;
    assert!(
        matches!(&record.state, State::Success(outcome) if outcome == kept),
        "an inspection should tell the answer, but told {}",
        Told(&record)
    );
}
