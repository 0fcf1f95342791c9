//! A lease lives as long as it was given for, or renewed; a lapsed one is lost only when somebody takes over.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::super::{Reservation, Store};
use super::contender::Contender;
use super::given::{answer, forged, large_answer};
use super::told::Write;

/// Before its lease lapses an attempt is running, and nobody takes it over; after that it is abandoned.
pub async fn a_running_attempt_is_not_abandoned_before_its_lease_lapses<S: Store>(store: &S, unit: Duration) {
    let contender = Contender::new(store, unit).with_lease(4.0);
    let lease = contender.acquires_first().await;

    let eager = contender.rerunning_abandoned().rerunning_failed();
    eager.after(2.0).await.finds_running(&lease).await;
    contender.after(3.0).await.finds_abandoned(&lease).await;
}

/// A renewed attempt is running past its first lease, and its record stays past its first retention; both then end
/// as counted from the renewal.
pub async fn renew_extends_lease_and_retention<S: Store>(store: &S, unit: Duration) {
    let contender = Contender::new(store, unit).with_lease(3.0).with_retention(5.0);
    let lease = contender.acquires_first().await;

    contender.after(2.0).await.applies(&lease, Write::Renew).await;
    contender.after(1.5).await.finds_running(&lease).await;
    contender.after(2.5).await.finds_abandoned(&lease).await;
    contender.after(2.0).await.acquires_first().await;
}

/// A heartbeat that comes after the end brings nothing back: not a released record, and no finished one to pending.
pub async fn renew_revives_nothing<S: Store>(store: &S, unit: Duration) {
    let kept = answer(201, "kept");

    let completed = Contender::new(store, unit);
    let lease = completed.acquires_first().await;
    completed.applies(&lease, Write::Complete(&kept)).await;
    completed.loses(&lease, Write::Renew).await;
    completed.finds_success(&lease, &kept).await;

    let failed = Contender::new(store, unit);
    let lease = failed.acquires_first().await;
    failed.applies(&lease, Write::Fail(Some(&kept))).await;
    failed.loses(&lease, Write::Renew).await;
    failed.finds_failed(&lease, Some(&kept)).await;

    let released = Contender::new(store, unit);
    let lease = released.acquires_first().await;
    released.applies(&lease, Write::Release).await;
    released.loses(&lease, Write::Renew).await;
    released.acquires_first().await;
}

/// Whoever has not the token keeps an attempt alive no longer than its owner does.
pub async fn a_stranger_keeps_no_lease_alive<S: Store>(store: &S, unit: Duration) {
    let contender = Contender::new(store, unit).with_lease(2.0).with_retention(4.0);
    let lease = contender.acquires_first().await;

    contender.after(1.0).await.loses_every_write(&forged(&lease)).await;
    contender.after(1.5).await.finds_abandoned(&lease).await;
    contender.after(2.0).await.acquires_first().await;
}

/// As long as nobody has taken the record over, its owner may settle it, late as it is.
pub async fn a_late_owner_may_still_settle_what_nobody_took_over<S: Store>(store: &S, unit: Duration) {
    let [completing, failing, releasing] =
        std::array::from_fn(|_| Contender::new(store, unit).with_lease(1.0));
    let to_complete = completing.acquires_first().await;
    let to_fail = failing.acquires_first().await;
    let to_release = releasing.acquires_first().await;
    let (late, large) = (answer(500, "late"), large_answer(200, b'O'));

    completing.after(2.0).await.finds_abandoned(&to_complete).await;
    completing.applies(&to_complete, Write::Complete(&large)).await;
    completing.rerunning_abandoned().finds_success(&to_complete, &large).await;
    failing.applies(&to_fail, Write::Fail(Some(&late))).await;
    failing.rerunning_abandoned().finds_failed(&to_fail, Some(&late)).await;
    releasing.applies(&to_release, Write::Release).await;
    releasing.acquires_first().await;
}

/// As long as nobody has taken the record over, a late heartbeat makes the attempt a running one again.
pub async fn a_late_owner_may_still_renew_what_nobody_took_over<S: Store>(store: &S, unit: Duration) {
    let contender = Contender::new(store, unit).with_lease(2.0);
    let lease = contender.acquires_first().await;

    contender.after(3.0).await.finds_abandoned(&lease).await;
    contender.applies(&lease, Write::Renew).await;
    contender.rerunning_abandoned().finds_running(&lease).await;
    contender.after(3.0).await.finds_abandoned(&lease).await;
}

/// A reserve that is dropped half way may have taken effect. Nobody has its lease then, so the key is to be had again
/// when that lease has lapsed.
pub async fn a_dropped_reserve_holds_the_key_no_longer_than_its_lease<S: Store>(store: &S, unit: Duration) {
    let contender = Contender::new(store, unit).with_lease(1.0);
    {
        let mut reserve = pin!(contender.reserve());
        poll_fn(|cx| Poll::Ready(reserve.as_mut().poll(cx).is_ready())).await;
    }
    let successor = contender.rerunning_abandoned();
    let reservation = successor.after(2.0).await.reserve().await;
    let acquired = matches!(reservation, Reservation::Acquired(_));
    assert!(acquired, "a dropped reserve still held the key: {reservation:?}");
}
