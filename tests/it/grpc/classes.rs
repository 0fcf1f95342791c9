//! What the status of a call means for its key.

use std::time::Duration;

use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tower_idempotency::store::{RecordStatus, State};
use tower_idempotency::{
    IdempotencyKey, OnFailed, PreviousAttempt, ResponseClass, Scope, StoredResponse,
};

use super::bank::{assert_first, assert_rejected, assert_replays, call, receipt, start};
use crate::support::{Effects, Server, TestLayer, layer};

/// Starts a server whose first run ends with this code, and every later one well.
async fn failing_once(layer: TestLayer, effects: &Effects, code: Code) -> Server {
    let ledger = effects.clone();
    start(layer, effects, move |_| {
        let is_first = ledger.count() == 1;
        async move { if is_first { Err(Status::new(code, "not now")) } else { Ok(receipt("done")) } }
    })
    .await
}

#[tokio::test]
async fn a_status_that_leaves_the_outcome_open_is_a_failure_and_the_call_runs_again() {
    for (code, over_http) in [
        (Code::Unavailable, 503),
        (Code::Aborted, 409),
        (Code::Internal, 500),
        (Code::Unknown, 500),
        (Code::DeadlineExceeded, 504),
        (Code::Cancelled, 499),
        (Code::DataLoss, 500),
    ] {
        let effects = Effects::new();
        let server = failing_once(layer(), &effects, code).await;
        let status = call("order-1001").send(&server).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, "not now"));
        assert_first(&call("order-1001").send(&server).await, "done");
        assert_replays(&call("order-1001").send(&server).await, "done");
        let status = http::StatusCode::from_u16(over_http).ok();
        assert_eq!(
            effects.attempts(),
            [(1, None), (2, Some(PreviousAttempt::Failed { status }))],
            "{code}"
        );
    }
}

#[tokio::test]
async fn a_status_that_says_that_nothing_was_done_leaves_no_record() {
    for code in [
        Code::InvalidArgument,
        Code::FailedPrecondition,
        Code::OutOfRange,
        Code::Unauthenticated,
        Code::PermissionDenied,
        Code::ResourceExhausted,
        Code::Unimplemented,
    ] {
        let effects = Effects::new();
        let layer = layer();
        let server = failing_once(layer.clone(), &effects, code).await;
        assert_eq!(call("order-1001").to("nobody").send(&server).await.unwrap_err().code(), code);
        let key = IdempotencyKey::parse(b"order-1001").unwrap();
        assert!(layer.inspect(&Scope::anonymous(), &key).await.unwrap().is_none(), "{code}");
        assert_first(&call("order-1001").send(&server).await, "done");
        assert_eq!(effects.attempts(), [(1, None), (1, None)]);
    }
}

#[tokio::test]
async fn a_call_that_was_aborted_and_says_when_to_retry_leaves_no_record() {
    let says_when: [fn() -> Status; 2] = [
        || {
            let mut status = Status::aborted("not now");
            status.metadata_mut().insert("grpc-retry-pushback-ms", "100".parse().unwrap());
            status
        },
        || {
            let delay = ErrorDetails::with_retry_info(Some(Duration::from_millis(100)));
            Status::with_error_details(Code::Aborted, "not now", delay)
        },
    ];
    for aborted in says_when {
        let effects = Effects::new();
        let layer = layer();
        let server = start(layer.clone(), &effects, move |_| async move { Err(aborted()) }).await;
        for _ in 0..2 {
            assert_eq!(call("order-1001").send(&server).await.unwrap_err().code(), Code::Aborted);
            let key = IdempotencyKey::parse(b"order-1001").unwrap();
            assert!(layer.inspect(&Scope::anonymous(), &key).await.unwrap().is_none());
        }
        assert_eq!(effects.attempts(), [(1, None), (1, None)]);
    }
}

#[tokio::test]
async fn the_rejection_of_a_service_behind_this_one_is_not_the_result_of_the_call() {
    for (code, reason, expected) in [
        (Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED", None),
        (Code::AlreadyExists, "IDEMPOTENCY_RESULT_NOT_RETAINED", None),
        (Code::Aborted, "IDEMPOTENCY_KEY_IN_FLIGHT", None),
        (Code::Unavailable, "IDEMPOTENCY_STORE_UNAVAILABLE", None),
        (Code::Unavailable, "IDEMPOTENCY_SHUTTING_DOWN", None),
        (Code::Unavailable, "IDEMPOTENCY_COMMIT_UNCONFIRMED", Some(RecordStatus::Failed)),
        (Code::Internal, "IDEMPOTENCY_TRANSACTION_LOST", Some(RecordStatus::Failed)),
    ] {
        let effects = Effects::new();
        // Neither policy nor limit makes one of it.
        let layer = layer().on_failed(OnFailed::Replay).max_response(1);
        let server = start(layer.clone(), &effects, move |_| async move {
            let details = ErrorDetails::with_error_info(reason, "tower-idempotency", []);
            Err(Status::with_error_details(code, "as the service behind it said", details))
        });
        let server = server.await;
        assert_eq!(call("order-1001").send(&server).await.unwrap_err().code(), code);
        let key = IdempotencyKey::parse(b"order-1001").unwrap();
        let record = layer.inspect(&Scope::anonymous(), &key).await.unwrap();
        assert_eq!(record.map(|record| record.status()), expected, "{reason}");
    }
}

#[tokio::test]
async fn a_definitive_status_is_stored() {
    for code in [Code::NotFound, Code::AlreadyExists] {
        let effects = Effects::new();
        let server = failing_once(layer(), &effects, code).await;
        for _ in 0..2 {
            assert_eq!(call("order-1001").send(&server).await.unwrap_err().code(), code);
        }
        assert_eq!(effects.count(), 1);
    }
}

#[tokio::test]
async fn a_failure_closes_the_key_where_it_was_told_to() {
    let effects = Effects::new();
    let server =
        failing_once(layer().on_failed(OnFailed::Reject), &effects, Code::Unavailable).await;
    assert_eq!(call("order-1001").send(&server).await.unwrap_err().message(), "not now");
    let retry = call("order-1001").send(&server).await;
    let details = assert_rejected(&retry, Code::FailedPrecondition, "IDEMPOTENCY_ATTEMPT_FAILED");
    assert_eq!(details.error_info().unwrap().metadata["original_status"], "503");
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_handler_that_panics_has_failed() {
    let effects = Effects::new();
    let ledger = effects.clone();
    let server = start(layer(), &effects, move |_| {
        let is_first = ledger.count() == 1;
        async move {
            assert!(!is_first, "as the test asks");
            Ok(receipt("done"))
        }
    });
    let server = server.await;
    assert!(call("order-1001").send(&server).await.is_err());
    assert_first(&call("order-1001").send(&server).await, "done");
    assert_eq!(
        effects.attempts(),
        [(1, None), (2, Some(PreviousAttempt::Failed { status: None }))]
    );
}

#[tokio::test]
async fn a_rule_for_responses_over_http_does_not_turn_a_failed_call_into_a_success() {
    let effects = Effects::new();
    let layer = layer().classify(|response| ResponseClass::of(response.status));
    let server = failing_once(layer, &effects, Code::Unavailable).await;
    call("order-1001").send(&server).await.unwrap_err();
    assert_first(&call("order-1001").send(&server).await, "done");
    assert_eq!(effects.count(), 2);
}

#[tokio::test]
async fn of_a_call_that_failed_the_store_gets_the_status_and_nothing_that_the_handler_said() {
    for stored in [StoredResponse::Full, StoredResponse::Status, StoredResponse::Nothing] {
        let layer = layer().stored_response(stored);
        let server = start(layer.clone(), &Effects::new(), |_| async {
            let mut metadata = MetadataMap::new();
            metadata.insert("x-card", "4242424242424242".parse().unwrap());
            Err(Status::with_metadata(
                Code::Unavailable,
                "no response for 4242424242424242",
                metadata,
            ))
        })
        .await;
        assert_eq!(call("order-1001").send(&server).await.unwrap_err().code(), Code::Unavailable);

        let key = IdempotencyKey::parse(b"order-1001").unwrap();
        let record = layer.inspect(&Scope::anonymous(), &key).await.unwrap().unwrap();
        let State::Failed(Some(outcome)) = record.state else {
            panic!("{:?}", record.state);
        };
        assert_eq!(
            (outcome.status.as_u16(), outcome.headers.len(), outcome.bytes()),
            (503, 0, &b""[..])
        );
    }
}
