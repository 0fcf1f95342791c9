//! How an attempt ends, and what it leaves in the database.

use http::StatusCode;

use super::script::{Stage, app, ask, asking, layer};
use crate::support::databases::{Base, Lite, Pg};
use crate::support::patiently;

on_both! {
    the_first_response_is_replayed_and_the_row_is_there_once
    a_failure_is_rolled_back_and_the_next_attempt_sees_it
    a_panic_is_rolled_back_and_the_next_attempt_sees_it
    a_response_that_says_nothing_happened_leaves_neither_row_nor_record
    a_definitive_rejection_is_stored_and_its_writes_are_not
    a_client_that_hangs_up_does_not_prevent_the_commit_of_its_operation
    an_error_of_a_statement_is_a_failure
}

async fn the_first_response_is_replayed_and_the_row_is_there_once<B: Base>() {
    let (base, stage) = (B::start().await, Stage::new());
    let one = app::<B, _>(layer(base.store().await), &stage);
    let other = app::<B, _>(layer(base.store().await), &stage);
    let first = ask(&one, "key", "insert book").await;
    first.is_first(201, "attempt 1");
    for app in [&one, &other, &one] {
        ask(app, "key", "insert book").await.replays(&first);
        ask(app, "key", "insert pen").await.is_rejected(409, "idempotency_key_reused");
    }
    assert_eq!((stage.runs(), base.orders().await), (1, vec!["book".into()]));
    assert_eq!(base.records().await, ["success"]);
    base.at_rest().await;
}

async fn a_failure_is_rolled_back_and_the_next_attempt_sees_it<B: Base>() {
    let (base, stage) = (B::start().await, Stage::new());
    let app = app::<B, _>(layer(base.store().await), &stage);
    ask(&app, "key", "insert book; status 500").await.is_first(500, "attempt 1");
    assert_eq!((base.orders().await, base.records().await), (vec![], vec!["failed".to_owned()]));
    let second = ask(&app, "key", "insert book; status 500").await;
    second.is_first(500, "attempt 2 after Failed { status: Some(500) }");
    ask(&app, "key", "insert pen").await.is_rejected(409, "idempotency_key_reused");
    assert!(base.orders().await.is_empty());
    base.at_rest().await;
}

async fn an_error_of_a_statement_is_a_failure<B: Base>() {
    let (base, stage) = (B::start().await, Stage::new());
    let app = app::<B, _>(layer(base.store().await), &stage);
    let script = "insert book; sql INSERT INTO nowhere VALUES (1)";
    ask(&app, "key", script).await.is_first(500, "");
    assert_eq!((base.orders().await, base.records().await), (vec![], vec!["failed".to_owned()]));
    base.ask("CREATE TABLE nowhere (number integer)").await;
    let second = ask(&app, "key", script).await;
    second.is_first(201, "attempt 2 after Failed { status: Some(500) }");
    ask(&app, "key", script).await.replays(&second);
    assert_eq!(base.orders().await, ["book"]);
}

async fn a_panic_is_rolled_back_and_the_next_attempt_sees_it<B: Base>() {
    let (base, stage) = (B::start().await, Stage::new());
    let app = app::<B, _>(layer(base.store().await), &stage);
    let panicked = asking(&app, "key", "insert book; panic").await;
    assert!(panicked.is_err_and(|error| error.is_panic()), "the panic goes on");
    assert_eq!((base.orders().await, base.records().await), (vec![], vec!["failed".to_owned()]));
    base.at_rest().await;
    assert!(asking(&app, "key", "insert book; panic").await.is_err());
    let attempts = base.ask("SELECT CAST(attempt AS text) FROM idempotency_records").await;
    assert_eq!(attempts, ["2"]);
    base.at_rest().await;
}

async fn a_response_that_says_nothing_happened_leaves_neither_row_nor_record<B: Base>() {
    let (base, stage) = (B::start().await, Stage::new());
    let app = app::<B, _>(layer(base.store().await), &stage);
    for _ in 0..2 {
        ask(&app, "key", "insert book; status 422").await.is_first(422, "attempt 1");
        assert!(base.orders().await.is_empty() && base.records().await.is_empty());
    }
    ask(&app, "key", "insert pen").await.is_first(201, "attempt 1");
    assert_eq!(base.orders().await, ["pen"]);
    base.at_rest().await;
}

async fn a_definitive_rejection_is_stored_and_its_writes_are_not<B: Base>() {
    let (base, stage) = (B::start().await, Stage::new());
    let app = app::<B, _>(layer(base.store().await), &stage);
    let first = ask(&app, "key", "insert book; status 404").await;
    first.is_first(404, "attempt 1");
    ask(&app, "key", "insert book; status 404").await.replays(&first);
    assert_eq!((stage.runs(), base.records().await), (1, vec!["success".to_owned()]));
    assert!(base.orders().await.is_empty());
    base.at_rest().await;
}

async fn a_client_that_hangs_up_does_not_prevent_the_commit_of_its_operation<B: Base>() {
    let (base, stage) = (B::start().await, Stage::new());
    let layer = layer(base.store().await);
    let app = app::<B, _>(layer.clone(), &stage);
    let client = asking(&app, "key", "insert book; wait; insert pen");
    stage.entered(1).await;
    client.abort();
    assert!(client.await.is_err_and(|error| error.is_cancelled()));
    stage.gate.open();
    patiently(layer.shutdown()).await;
    assert_eq!(
        (base.orders().await, base.records().await),
        (vec!["book".into(), "pen".into()], vec!["success".to_owned()])
    );
    base.at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn which_responses_commit_can_be_set_on_postgres() {
    let (base, stage) = (Pg::start().await, Stage::new());
    let store = base.tx_store().commit_if(|status| status == StatusCode::PAYMENT_REQUIRED);
    let app = app::<Pg, _>(layer(store), &stage);
    ask(&app, "declined", "insert declined; status 402").await.is_first(402, "attempt 1");
    ask(&app, "paid", "insert paid").await.is_first(201, "attempt 1");
    assert_eq!(base.orders().await, ["declined"]);
    assert!(ask(&app, "paid", "insert paid").await.is_replay);
}

#[tokio::test(flavor = "multi_thread")]
async fn which_responses_commit_can_be_set_on_sqlite() {
    let (base, stage) = (Lite::start().await, Stage::new());
    let store = base.store().await.commit_if(|status| status == StatusCode::PAYMENT_REQUIRED);
    let app = app::<Lite, _>(layer(store), &stage);
    ask(&app, "declined", "insert declined; status 402").await.is_first(402, "attempt 1");
    ask(&app, "paid", "insert paid").await.is_first(201, "attempt 1");
    assert_eq!(base.orders().await, ["declined"]);
    assert!(ask(&app, "paid", "insert paid").await.is_replay);
}
