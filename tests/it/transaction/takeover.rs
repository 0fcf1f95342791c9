//! What other attempts have left under the key, of this mode and of the other one.

use std::time::Duration;

use tower_idempotency::{OnAbandoned, OnFailed};

use super::script::{Stage, app, ask, asking, layer};
use crate::support::databases::{Base, Pg};

on_both! {
    an_expired_record_is_as_if_it_were_not_there
    what_a_leasing_attempt_has_left_is_taken_over_as_the_policies_say
    a_leasing_attempt_that_runs_is_in_flight
}

async fn an_expired_record_is_as_if_it_were_not_there<B: Base>() {
    let (base, stage) = (B::start().await, Stage::new());
    let app = app::<B, _>(layer(base.store().await), &stage);
    for item in ["book", "pen"] {
        ask(&app, "key", &format!("insert {item}")).await.is_first(201, "attempt 1");
        base.expire().await;
    }
    assert_eq!(base.orders().await, ["book", "pen"]);
    ask(&app, "key", "insert ink; status 500").await.is_first(500, "attempt 1");
    base.expire().await;
    ask(&app, "key", "insert ink").await.is_first(201, "attempt 1");
    assert_eq!(base.records().await, ["success"]);
    base.at_rest().await;
}

/// A layer that leases, with a handler that writes nothing: it runs on no transaction.
fn leasing<S: tower_idempotency::store::Store>(store: S, stage: &Stage) -> axum::Router {
    let stage = stage.clone();
    let response = async move |script: String| {
        if script.ends_with("wait") {
            stage.wait().await;
        }
        axum::http::StatusCode::BAD_GATEWAY
    };
    let layer = layer(store).lease(Duration::from_millis(300));
    axum::Router::new().route("/", axum::routing::post(response)).layer(layer)
}

async fn what_a_leasing_attempt_has_left_is_taken_over_as_the_policies_say<B: Base>() {
    let (base, stage) = (B::start().await, Stage::new());
    let leasing = leasing(base.leasing().await, &stage);
    let rejecting =
        layer(base.store().await).on_failed(OnFailed::Reject).on_abandoned(OnAbandoned::Reject);
    let rejecting = app::<B, _>(rejecting, &stage);
    let running = app::<B, _>(layer(base.store().await), &stage);

    ask(&leasing, "failed", "insert book").await.is_first(502, "");
    assert_eq!(ask(&rejecting, "failed", "insert book").await.code(), "idempotency_attempt_failed");
    ask(&running, "failed", "insert pen").await.is_rejected(409, "idempotency_key_reused");
    ask(&running, "failed", "insert book")
        .await
        .is_first(201, "attempt 2 after Failed { status: Some(502) }");

    // It is abandoned as if its process had ended: its lease is not renewed.
    ask(&leasing, "abandoned", "insert pen").await.is_first(502, "");
    let abandon = "UPDATE idempotency_records SET status = 'pending', lease_until = updated_at, \
                   response_status = NULL, response_headers = NULL, response_missing = NULL WHERE status = 'failed'";
    base.ask(abandon).await;
    assert_eq!(
        ask(&rejecting, "abandoned", "insert pen").await.code(),
        "idempotency_outcome_unknown"
    );
    ask(&running, "abandoned", "insert pen").await.is_first(201, "attempt 2 after Abandoned");
    assert_eq!(
        (base.orders().await, base.records().await.len()),
        (vec!["book".into(), "pen".into()], 2)
    );
    base.at_rest().await;
}

async fn a_leasing_attempt_that_runs_is_in_flight<B: Base>() {
    let (base, stage) = (B::start().await, Stage::new());
    let leasing = leasing(base.leasing().await, &stage);
    let running = app::<B, _>(layer(base.store().await), &stage);
    let first = asking(&leasing, "key", "insert book; wait");
    stage.entered(1).await;
    ask(&running, "key", "insert book; wait").await.is_in_flight();
    ask(&running, "key", "insert pen").await.is_rejected(409, "idempotency_key_reused");
    stage.gate.open();
    first.await.unwrap().is_first(502, "");
    ask(&running, "key", "insert book; wait")
        .await
        .is_first(201, "attempt 2 after Failed { status: Some(502) }");
    assert_eq!(base.orders().await, ["book"]);
    base.at_rest().await;
}

/// A deployment in which the old processes lease and the new ones do not: what is in the database
/// is there once.
#[tokio::test(flavor = "multi_thread")]
async fn a_leasing_attempt_that_comes_between_makes_the_transaction_roll_back() {
    let (base, stage, later) = (Pg::start().await, Stage::new(), Stage::new());
    let running = app::<Pg, _>(layer(base.tx_store()).retry_conflicts(2), &stage);
    let leasing = leasing(base.leasing().await, &later);
    let first = asking(&running, "key", "insert book; wait");
    stage.entered(1).await;
    let between = asking(&leasing, "key", "insert book; wait");
    later.entered(1).await;
    stage.gate.open();
    first.await.unwrap().is_in_flight();
    assert!(base.orders().await.is_empty());
    later.gate.open();
    between.await.unwrap().is_first(502, "");
    ask(&running, "key", "insert book; wait")
        .await
        .is_first(201, "attempt 2 after Failed { status: Some(502) }");
    assert_eq!(
        (base.orders().await, base.records().await),
        (vec!["book".into()], vec!["success".to_owned()])
    );
    base.at_rest().await;
}
