//! Operators beside attempts that run in transactions: what they say is not overwritten.

use http::StatusCode;
use tower_idempotency::operate::{Operator, Settle, Settled};
use tower_idempotency::store::operator::{
    ListFilter, ListRequest, RecordInfo, RecordState, StateFilter,
};
use tower_idempotency::store::postgres::Isolation;
use tower_idempotency::store::{Outcome, Store, StoredBody};

use super::script::{Stage, app, ask, asking, layer};
use crate::support::databases::{Base, Lite, Pg};
use crate::support::patiently;

on_both! {
    what_an_attempt_in_a_transaction_has_left_is_found_and_settled
}

fn operator<S: Store>(store: S) -> Operator<S> {
    layer(store).operator("night shift").unwrap()
}

/// The only record that is stuck.
async fn stuck<S: Store>(operator: &Operator<S>) -> RecordInfo {
    let stuck = ListRequest::new(ListFilter::new().state(StateFilter::Stuck));
    let mut records = operator.list(&stuck).await.unwrap().records;
    assert_eq!(records.len(), 1);
    records.remove(0)
}

fn by_hand() -> Settle {
    let bytes = "by hand".into();
    Settle::Respond(Outcome::new(StatusCode::OK, StoredBody::Whole { bytes, trailers: None }))
}

async fn what_an_attempt_in_a_transaction_has_left_is_found_and_settled<B: Base>() {
    let (base, stage) = (B::start().await, Stage::new());
    let app = app::<B, _>(layer(base.store().await), &stage);
    let operator = operator(base.store().await);
    ask(&app, "key", "insert book; status 500").await.is_first(500, "attempt 1");
    let seen = stuck(&operator).await;
    assert_eq!(seen.state, RecordState::Failed { status: Some(StatusCode::INTERNAL_SERVER_ERROR) });
    assert_eq!(operator.stats(None).await.unwrap().stats.failed.count, 1);
    let settled = operator.settle(&seen, by_hand(), "booked by hand").await.unwrap();
    assert!(matches!(settled, Settled::Applied), "{settled:?}");
    let replay = ask(&app, "key", "insert book; status 500").await;
    assert_eq!((replay.status, &*replay.text, replay.is_replay), (200, "by hand", true));
    assert_eq!(operator.show(&seen.key).await.unwrap().history.len(), 1);
    base.at_rest().await;
}

/// Leaves a failed record that the same request takes over.
async fn fails_once<B: Base>(base: &B, script: &str) {
    let stage = Stage::new();
    stage.gate.open();
    let app = app::<B, _>(layer(base.store().await), &stage);
    ask(&app, "key", script).await;
    base.ask("UPDATE idempotency_records SET status = 'failed'").await;
    base.ask("DELETE FROM orders").await;
}

/// An operator settles the failed record on which an attempt runs.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_whose_record_an_operator_has_settled_is_rolled_back() {
    let base = Pg::start().await;
    for (isolation, script) in [
        (None, "insert book; wait"),
        (Some(Isolation::RepeatableRead), "insert book; wait"),
        (Some(Isolation::Serializable), "insert book; wait"),
        (None, "insert book; wait; status 404"),
        (None, "insert book; wait; status 500"),
    ] {
        fails_once(&base, script).await;
        let stage = Stage::new();
        let store = base.tx_store();
        let store = isolation.map_or(store.clone(), |isolation| store.isolation(isolation));
        let operator = operator(store.clone());
        let app = app::<Pg, _>(layer(store), &stage);
        let running = asking(&app, "key", script);
        stage.entered(1).await;
        let seen = stuck(&operator).await;
        let settled = operator.settle(&seen, by_hand(), "booked by hand").await.unwrap();
        assert!(matches!(settled, Settled::Applied), "{settled:?}");
        stage.gate.open();
        let response = running.await.unwrap();
        if script.ends_with("500") {
            assert_eq!(response.status, 500, "{response:?}");
        } else {
            response.is_in_flight();
        }
        assert!(base.orders().await.is_empty(), "{isolation:?}: {script}");
        let replay = ask(&app, "key", script).await;
        assert_eq!((replay.status, &*replay.text, replay.is_replay), (200, "by hand", true));
        base.at_rest().await;
        base.ask("DELETE FROM idempotency_records").await;
    }
}

/// An operator who comes while the attempt commits waits for it, and finds its response.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_does_not_overwrite_a_response_that_is_committed_meanwhile() {
    let (base, stage) = (Pg::start().await, Stage::new());
    fails_once(&base, "insert book; wait").await;
    let operator = operator(base.store().await);
    let app = app::<Pg, _>(layer(base.store().await), &stage);
    let running = asking(&app, "key", "insert book; wait");
    stage.entered(1).await;
    let seen = stuck(&operator).await;
    stage.gate.open();
    running.await.unwrap().is_first(201, "attempt 2 after Failed { status: Some(201) }");
    let moved = operator.settle(&seen, by_hand(), "booked by hand").await.unwrap();
    let Settled::Moved(Some(now)) = moved else { panic!("{moved:?}") };
    assert_eq!((now.attempt, now.state.word()), (2, "success"));
    assert_eq!(base.orders().await, ["book"]);
}

/// The attempt is the one writer of the file, so the operator comes after it.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_waits_for_an_attempt_on_sqlite_and_finds_its_response() {
    for is_other_process in [false, true] {
        let (base, stage) = (Lite::start().await, Stage::new());
        fails_once(&base, "insert book; wait").await;
        let store = base.store().await;
        let other = if is_other_process { base.store().await } else { store.clone() };
        let operator = operator(other);
        let app = app::<Lite, _>(layer(store), &stage);
        let running = asking(&app, "key", "insert book; wait");
        stage.entered(1).await;
        let seen = stuck(&operator).await;
        let settling = tokio::spawn(async move {
            operator.settle(&seen, by_hand(), "booked by hand").await.unwrap()
        });
        stage.gate.open();
        running.await.unwrap().is_first(201, "attempt 2 after Failed { status: Some(201) }");
        let moved = patiently(settling).await.unwrap();
        let Settled::Moved(Some(now)) = moved else { panic!("{moved:?}") };
        assert_eq!((now.attempt, now.state.word()), (2, "success"));
        assert_eq!(base.orders().await, ["book"]);
    }
}
