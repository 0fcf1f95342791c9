//! What an operator does, as clients and handlers see it.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::routing::post;
use axum::{Extension, Router};
use http::StatusCode;
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_idempotency::operate::{InvalidText, OperatorError, Settle, Settled};
use tower_idempotency::store::operator::{ListFilter, ListRequest, RecordInfo, StateFilter};
use tower_idempotency::store::{DynStore, Outcome, StoredBody};
use tower_idempotency::{Attempt, IdempotencyKey, IdempotencyLayer, MemoryStore, Scope};

use crate::support::{Gate, patiently};

type Layer = IdempotencyLayer<DynStore>;

fn layer() -> Layer {
    IdempotencyLayer::new(DynStore::new(MemoryStore::new()))
        .namespace("payments")
        .scope(|_| Scope::new("account"))
        .label_records()
}

async fn send(app: &Router, path: &str, key: &str) -> (u16, String) {
    let request = Request::post(path).header("X-Idempotency-Key", key).body(Body::empty()).unwrap();
    let response = patiently(app.clone().oneshot(request)).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// The one record in this state.
async fn only(layer: &Layer, state: StateFilter) -> RecordInfo {
    let operator = layer.operator("night shift").unwrap();
    let list = ListRequest::new(ListFilter::new().state(state));
    let records = operator.list(&list).await.unwrap().records;
    let [record] = &records[..] else { panic!("one record: {records:?}") };
    record.clone()
}

fn paid() -> Outcome {
    Outcome::new(
        StatusCode::CREATED,
        StoredBody::Whole { bytes: "paid by hand".into(), trailers: None },
    )
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn a_labelled_record_has_the_route_that_the_router_has_matched() {
    let layer = layer();
    let refunds = Router::new().route("/{id}/refunds", post(|| async { StatusCode::BAD_GATEWAY }));
    let app = Router::new().nest("/payments", refunds).layer(layer.clone());
    assert_eq!(send(&app, "/payments/7/refunds?secret=1", "order-1001").await.0, 502);
    let record = only(&layer, StateFilter::Failed).await;
    let label = record.label.unwrap();
    let expected =
        tower_idempotency::store::RecordLabel::new("payments", "POST /payments/{id}/refunds");
    assert_eq!(*label, expected);
    let operator = layer.operator("night shift").unwrap();
    assert_eq!(record.scope, Some(operator.scope_digest(&Scope::new("account"))));
}

#[tokio::test]
async fn a_clone_with_another_namespace_has_labels_of_its_own() {
    let payments = layer();
    let payouts = payments.clone().namespace("payouts");
    for (layer, namespace) in [(payments, "payments"), (payouts, "payouts")] {
        let app = Router::new()
            .route("/", post(|| async { StatusCode::BAD_GATEWAY }))
            .layer(layer.clone());
        assert_eq!(send(&app, "/", "order-1001").await.0, 502);
        let filter = ListFilter::new().namespace(namespace.to_owned());
        let operator = layer.operator("night shift").unwrap();
        let records = operator.list(&ListRequest::new(filter)).await.unwrap().records;
        assert_eq!(records.len(), 1, "{namespace}");
    }
}

#[tokio::test]
async fn the_next_retry_gets_what_the_operator_has_settled() {
    let layer = layer();
    let app = Router::new()
        .route("/", post(|| async { StatusCode::GATEWAY_TIMEOUT }))
        .layer(layer.clone());
    let operator = layer.operator("night shift").unwrap();

    assert_eq!(send(&app, "/", "responds").await.0, 504);
    let record = only(&layer, StateFilter::Stuck).await;
    let settled = operator.settle(&record, Settle::Respond(paid()), "pay_7 at the provider").await;
    assert!(settled.unwrap().is_applied());
    assert_eq!(send(&app, "/", "responds").await, (201, "paid by hand".to_owned()));

    assert_eq!(send(&app, "/", "concluded").await.0, 504);
    let record = only(&layer, StateFilter::Stuck).await;
    let conclude = Settle::Conclude(StatusCode::CREATED);
    assert!(operator.settle(&record, conclude, "paid by hand").await.unwrap().is_applied());
    // A reconciler that looks again and reports the same changes nothing.
    let now = only(&layer, StateFilter::NotRetained).await;
    let conclude = Settle::Conclude(StatusCode::CREATED);
    let again = operator.settle(&now, conclude, "paid by hand").await.unwrap();
    assert!(matches!(again, Settled::AlreadyApplied), "{again:?}");
    assert_eq!(operator.show(&now.key).await.unwrap().history.len(), 1);
    let (status, problem) = send(&app, "/", "concluded").await;
    assert_eq!(status, 409);
    let problem: serde_json::Value = serde_json::from_str(&problem).unwrap();
    assert_eq!(problem["code"], "idempotency_result_not_retained");
    assert_eq!(problem["original_status"], 201);
}

#[tokio::test]
async fn a_live_attempt_that_is_fenced_learns_it_and_its_client_gets_the_operators_response() {
    let layer = layer();
    let entered = Gate::new();
    let told = entered.clone();
    let app = Router::new()
        .route(
            "/",
            post(move |Extension(attempt): Extension<Attempt>| {
                let told = told.clone();
                async move {
                    told.open();
                    patiently(attempt.lease_lost()).await;
                    "late"
                }
            }),
        )
        .layer(layer.clone().lease(Duration::from_millis(60)));
    let request = tokio::spawn(async move { send(&app, "/", "order-1001").await });
    patiently(entered.passed()).await;
    let record = only(&layer, StateFilter::InFlight).await;
    let operator = layer.operator("night shift").unwrap().even_in_flight();
    let settled = operator.settle(&record, Settle::Respond(paid()), "hangs at the provider").await;
    assert!(settled.unwrap().is_applied());
    assert_eq!(request.await.unwrap(), (201, "paid by hand".to_owned()));
}

#[cfg(feature = "encryption")]
#[tokio::test]
async fn encrypted_records_are_found_and_settled_too() {
    use tower_idempotency::EncryptionKeys;
    use tower_idempotency::store::StoreErrorKind;

    let plain = layer();
    let encrypts = plain.clone().encrypt(EncryptionKeys::new(1, [1; 32]));
    let app = Router::new()
        .route("/", post(|| async { "x".repeat(100) }))
        .layer(encrypts.clone().max_response(10));
    assert_eq!(send(&app, "/", "large").await.0, 200);
    // The operator sees that the response was not retained, with the key and without it.
    let record = only(&plain, StateFilter::NotRetained).await;
    let operator = encrypts.operator("night shift").unwrap();
    let settled = operator.settle(&record, Settle::Respond(paid()), "archive").await;
    assert!(settled.unwrap().is_applied());
    assert_eq!(send(&app, "/", "large").await, (201, "paid by hand".to_owned()));

    // The key is lost. An operator with another key sees it, and settles it.
    let other = plain.clone().encrypt(EncryptionKeys::new(2, [2; 32]));
    let record = only(&plain, StateFilter::Success).await;
    let operator = other.operator("night shift").unwrap();
    let shown = operator.show(&record.key).await.unwrap();
    assert_eq!(shown.unreadable, Some(StoreErrorKind::Decrypt));
    let settle = || Settle::Respond(paid());
    let left = operator.settle(&record, settle(), "the key is lost").await.unwrap();
    assert!(matches!(left, Settled::Unreadable(StoreErrorKind::Decrypt)), "{left:?}");
    let operator = other.operator("night shift").unwrap().even_unreadable();
    for expected in [Settled::Applied, Settled::AlreadyApplied] {
        let settled = operator.settle(&record, settle(), "the key is lost").await.unwrap();
        assert_eq!(settled.to_string(), expected.to_string());
    }
    let app = Router::new().route("/", post(|| async { "x".repeat(100) })).layer(other);
    assert_eq!(send(&app, "/", "large").await, (201, "paid by hand".to_owned()));
}

#[tokio::test]
async fn an_operator_knows_the_key_of_the_operation_in_other_systems() {
    for layer in [layer(), layer().secret([7; 32])] {
        let app = Router::new()
            .route(
                "/",
                post(|Extension(attempt): Extension<Attempt>| async move {
                    attempt.downstream_key("charge")
                }),
            )
            .layer(layer.clone());
        let (_, sent) = send(&app, "/", "order-1001").await;
        let record = only(&layer, StateFilter::Success).await;
        let operator = layer.operator("reconciler").unwrap();
        assert_eq!(operator.downstream_key(&record.key, "charge"), sent);
        let key = IdempotencyKey::parse(b"order-1001").unwrap();
        assert_eq!(operator.storage_key(&Scope::new("account"), &key), record.key);
    }
}

#[tokio::test]
async fn a_name_or_a_reason_that_cannot_be_shown_is_rejected() {
    let layer = layer();
    for (by, error) in [
        ("", InvalidText::Empty),
        ("  ", InvalidText::Empty),
        ("night\nshift", InvalidText::Control),
        ("\u{1b}[2J", InvalidText::Control),
        (&*"x".repeat(129), InvalidText::TooLong { most: 128 }),
    ] {
        assert_eq!(layer.operator(by).unwrap_err(), error, "{by:?}");
    }
    let app =
        Router::new().route("/", post(|| async { StatusCode::BAD_GATEWAY })).layer(layer.clone());
    assert_eq!(send(&app, "/", "order-1001").await.0, 502);
    let record = only(&layer, StateFilter::Failed).await;
    let operator = layer.operator("night shift").unwrap();
    let error = operator.release(&record, "\r\n").await.unwrap_err();
    assert!(matches!(error, OperatorError::Text(InvalidText::Empty)), "{error}");
    assert_eq!(only(&layer, StateFilter::Failed).await.token, record.token);
}

#[tokio::test]
async fn an_operator_cannot_settle_with_what_is_not_a_final_response() {
    let layer = layer();
    let app = Router::new().route("/payments", post(|| async { StatusCode::BAD_GATEWAY }));
    let app = app.layer(layer.clone());
    assert_eq!(send(&app, "/payments", "order-1001").await.0, 502);
    let record = only(&layer, StateFilter::Failed).await;
    let operator = layer.operator("reconciler").unwrap();
    let [low, high] = [101, 799].map(|status| StatusCode::from_u16(status).unwrap());
    let with = |status| Outcome::new(status, paid().body);
    for settle in [
        Settle::Respond(with(low)),
        Settle::Respond(with(high)),
        Settle::Respond(with(StatusCode::NO_CONTENT)),
        Settle::Conclude(low),
        Settle::Fail(Some(high)),
    ] {
        let settled = operator.settle(&record, settle.clone(), "seen at the provider").await;
        assert!(matches!(settled, Err(OperatorError::Response(_))), "{settle:?}: {settled:?}");
    }
    assert_eq!(send(&app, "/payments", "order-1001").await.0, 502);
}

#[tokio::test]
async fn a_settlement_is_done_before_only_if_the_record_still_says_so() {
    let layer = layer();
    let app = Router::new().route("/payments", post(|| async { StatusCode::BAD_GATEWAY }));
    let app = app.layer(layer.clone());
    assert_eq!(send(&app, "/payments", "order-1001").await.0, 502);
    let operator = layer.operator("reconciler").unwrap();
    let failed = only(&layer, StateFilter::Failed).await;
    let settle = async |seen: &RecordInfo| {
        let settle = Settle::Conclude(StatusCode::CREATED);
        operator.settle(seen, settle, "seen at the provider").await.unwrap()
    };
    assert!(matches!(settle(&failed).await, Settled::Applied));
    let settled = only(&layer, StateFilter::NotRetained).await;
    assert!(matches!(settle(&settled).await, Settled::AlreadyApplied));
    assert!(operator.erase(&settled, "by order of the customer").await.unwrap().is_applied());
    assert!(matches!(settle(&settled).await, Settled::Moved(None)));
}
