//! What each record means for a request, as a table.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::{Admission, decide};
use crate::http::rejection::Rejection;
use crate::record::fingerprint::Fingerprint;
use crate::record::key::{IdempotencyKey, Scope, StorageKey};
use crate::record::outcome::{NotRetained, Outcome, StoredBody};
use crate::settings::{Config, OnFailed, Policies};
use crate::store::{Record, ReserveRequest, RetryFailed, State, Token};

const TOKEN: [u8; 16] = [7; 16];

#[test]
fn another_fingerprint_is_rejected_first_whatever_the_state_and_the_policy() {
    for state in states() {
        for on_failed in POLICIES {
            let record = record("another operation", state.clone());
            let decision = decide(record, &request("an operation"), &config(on_failed));
            assert!(
                matches!(decision, Admission::Reject(Rejection::KeyReused { .. })),
                "{state:?} under {on_failed:?}: {decision:?}"
            );
        }
    }
}

#[test]
fn a_running_attempt_is_in_flight_with_its_key_and_token() {
    for on_failed in POLICIES {
        let decision = decided(State::Pending { abandoned: false }, on_failed);
        let Admission::InFlight(seen) = decision else {
            panic!("{on_failed:?}: {decision:?}");
        };
        assert_eq!((seen.key, seen.token), (request("an operation").key, Token::new(TOKEN)));
    }
}

#[test]
fn an_abandoned_attempt_that_is_not_rerun_has_an_unknown_outcome() {
    for on_failed in POLICIES {
        let decision = decided(State::Pending { abandoned: true }, on_failed);
        assert!(matches!(decision, Admission::Reject(Rejection::OutcomeUnknown)), "{decision:?}");
    }
}

#[test]
fn a_success_is_replayed_whole() {
    for on_failed in POLICIES {
        let decision = decided(State::Success(whole(404)), on_failed);
        assert!(
            matches!(&decision, Admission::Replay(stored, _) if *stored == whole(404)),
            "{decision:?}"
        );
    }
}

#[test]
fn a_success_without_a_stored_body_is_rejected_with_its_status_and_location() {
    for why in [NotRetained::TooLarge, NotRetained::Streamed, NotRetained::Failure] {
        for on_failed in POLICIES {
            let decision = decided(State::Success(without_body(201, why)), on_failed);
            let Admission::Reject(Rejection::ResultNotRetained { original_status, location }) =
                decision
            else {
                panic!("{why:?} under {on_failed:?}: {decision:?}");
            };
            assert_eq!(original_status, StatusCode::CREATED);
            assert_eq!(location, Some(HeaderValue::from_static("/payments/1")));
        }
    }
}

#[test]
fn a_failure_is_replayed_only_by_policy_and_only_if_its_response_was_stored() {
    let failed = |outcome: Option<Outcome>| State::Failed(outcome);
    let bare = || Some(without_body(500, NotRetained::Failure));

    let decision = decided(failed(Some(whole(500))), OnFailed::Replay);
    assert!(
        matches!(&decision, Admission::Replay(stored, _) if *stored == whole(500)),
        "{decision:?}"
    );

    let server_error = Some(StatusCode::INTERNAL_SERVER_ERROR);
    let rejected = [
        (failed(Some(whole(500))), OnFailed::Reject, server_error),
        (failed(bare()), OnFailed::Replay, server_error),
        (failed(bare()), OnFailed::Reject, server_error),
        (failed(None), OnFailed::Replay, None),
        (failed(None), OnFailed::Reject, None),
    ];
    for (state, on_failed, expected) in rejected {
        let decision = decided(state, on_failed);
        let Admission::Reject(Rejection::AttemptFailed { original_status }) = decision else {
            panic!("{on_failed:?}: {decision:?}");
        };
        assert_eq!(original_status, expected, "{on_failed:?}");
    }
}

/// Under this policy a failed record is taken over. A record that was not taken over has just
/// failed.
#[test]
fn a_failure_after_the_reservation_is_in_flight() {
    for outcome in [Some(whole(500)), Some(without_body(500, NotRetained::Failure)), None] {
        let decision = decided(State::Failed(outcome), OnFailed::Rerun);
        assert!(matches!(decision, Admission::Reject(Rejection::InFlight { .. })), "{decision:?}");
    }
}

const POLICIES: [OnFailed; 3] = [OnFailed::Rerun, OnFailed::Replay, OnFailed::Reject];

fn states() -> Vec<State> {
    vec![
        State::Pending { abandoned: false },
        State::Pending { abandoned: true },
        State::Success(whole(201)),
        State::Success(without_body(201, NotRetained::Streamed)),
        State::Failed(Some(whole(500))),
        State::Failed(Some(without_body(500, NotRetained::Failure))),
        State::Failed(None),
    ]
}

/// The decision on a record of the same operation.
fn decided(state: State, on_failed: OnFailed) -> Admission {
    decide(record("an operation", state), &request("an operation"), &config(on_failed))
}

fn config(on_failed: OnFailed) -> Config {
    Config { policies: Policies { on_failed, ..Policies::default() }, ..Config::default() }
}

fn record(operation: &str, state: State) -> Record {
    Record::new(fingerprint(operation), 1, Token::new(TOKEN), state)
}

#[allow(clippy::unwrap_used)]
fn request(operation: &str) -> ReserveRequest {
    let key = IdempotencyKey::parse(b"order-1001").unwrap();
    ReserveRequest::new(
        StorageKey::derive(None, "tests", &Scope::anonymous(), &key),
        fingerprint(operation),
    )
    .lease(Duration::from_secs(10))
    .retention(Duration::from_hours(1))
    .retry_failed(RetryFailed::Never)
    .retry_abandoned(false)
}

fn fingerprint(operation: &str) -> Fingerprint {
    Fingerprint::of_request(
        &Method::POST,
        "/payments",
        &HeaderMap::new(),
        &[],
        operation.as_bytes(),
    )
}

fn whole(status: u16) -> Outcome {
    let bytes = bytes::Bytes::from_static(b"the response");
    Outcome {
        body: StoredBody::Whole { bytes, trailers: None },
        ..without_body(status, NotRetained::Failure)
    }
}

#[allow(clippy::unwrap_used)]
fn without_body(status: u16, why: NotRetained) -> Outcome {
    let location = HeaderValue::from_static("/payments/1");
    Outcome::new(StatusCode::from_u16(status).unwrap(), StoredBody::NotRetained(why))
        .headers(HeaderMap::from_iter([(header::LOCATION, location)]))
}
