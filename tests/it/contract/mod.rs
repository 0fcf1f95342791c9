//! The contract, row by row: one test for each, through a socket, named after it.
//!
//! [`request`]: what counts as a key, and as the same request.
//!
//! | matter | tests |
//! |---|---|
//! | header | `header_is_…`, `header_both_present_…`, `header_never_the_url_…` |
//! | value | `value_is_…`, `value_that_is_not_a_key_…` |
//! | strict mode | `strict_mode_…` |
//! | guarded methods | `guarded_methods_are_…`, `guarded_methods_leave_others_…`, `guarded_methods_log_a_key_on_another_…` |
//! | profiles | `profiles_read_either_header` |
//! | no key | `no_key_passes_…`, `no_key_is_400_…` |
//! | scope | `scope_tells_…`, `scope_and_key_…`, `scope_not_set_…` |
//! | fingerprint | `fingerprint_covers_…`, `fingerprint_is_never_of_a_partial_body`, `fingerprint_is_of_the_original_path_…` |
//! | inbound marker | `inbound_x_idempotent_result_…` |
//! | request body | `request_body_is_seen_…`, `request_body_over_the_limit_…`, `request_body_obeys_axums_default_body_limit` |
//!
//! [`response`]: what a client gets.
//!
//! | situation | tests |
//! |---|---|
//! | first execution | `first_execution_…` |
//! | retry of a finished request | `retry_of_a_finished_request_…` |
//! | same key, other fingerprint | `same_key_other_fingerprint_is_409_…`, `…_is_told_while_the_first_is_in_flight`, `…_is_422_in_the_ietf_profile` |
//! | same key, same fingerprint, in flight | `same_key_same_fingerprint_in_flight_is_409_…`, `…_waits_…` |
//! | missing key where required | `missing_key_where_required_…` |
//! | malformed key | `malformed_key_…` |
//! | request body over the limit | `request_body_over_the_limit_…` |
//! | store down or too slow | `store_down_…`, `store_too_slow_…` |
//! | finished, but the response was not stored | `finished_but_the_response_was_not_stored_…` |
//! | cut off or failed, and not to be run again | `an_earlier_attempt_was_cut_off_…`, `an_earlier_attempt_failed_…` |
//! | every rejection | `every_rejection_…` |
//! | never stored or replayed | `never_stored_or_replayed_…` |
//! | replays | `replays_are_byte_exact_…`, `a_replay_is_available_…` |
//!
//! [`record`]: the recorded state of an attempt.
//!
//! | statement | tests |
//! |---|---|
//! | `pending`, then `success` or `failed` | `pending_becomes_success_…`, `pending_becomes_failed_…` |
//! | by default | `by_default_…` |
//! | a 409 that says "ask again" | `a_conflict_that_says_ask_again_leaves_no_record` |
//! | the IETF profile | `the_ietf_profile_stores_the_other_4xx` |
//! | a rejection of the layer's own | [`layer::gateway`](crate::layer) |
//! | a classifier, a handler | `a_classifier_replaces_this`, `a_handler_overrides_it_for_one_response` |
//! | abandoned | `a_pending_record_whose_lease_has_lapsed_is_abandoned` |
//! | `failed`: the next request | `failed_runs_again_by_default`, `failed_is_replayed_…`, `failed_is_rejected_…` |
//! | abandoned: the next request | `abandoned_runs_again_by_default`, `abandoned_is_rejected_…` |
//! | attempt and previous | `when_it_runs_again_the_handler_can_see_attempt_and_previous` |

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Response, StatusCode};
use tower_idempotency::store::{DynStore, PendingRef, Record, State, StorageKey, Store};
use tower_idempotency::{IdempotencyKey, IdempotencyLayer, Scope};

use crate::support::{
    Call, Effects, Fault, Operation, Scripted, Server, TestLayer, WireResponse, app, patiently,
    store,
};

mod browsers;
#[cfg(feature = "canonical")]
mod one_operation;
mod record;
mod rejections;
mod request;
mod response;
mod statuses;

const KEY: &str = "order-1001";

/// Asserts a rejection and every member of its document; returns the values of `Retry-After`,
/// `X-Should-Retry` and `Location`.
#[track_caller]
fn rejected<'a>(response: &'a WireResponse, status: u16, code: &str) -> [Option<&'a str>; 3] {
    let problem = response.assert_rejected(status, code);
    let mut members: Vec<_> = problem.as_object().unwrap().keys().map(String::as_str).collect();
    members.retain(|member| *member != "original_status");
    members.sort_unstable();
    assert_eq!(members, ["code", "detail", "status", "title", "type"]);
    assert_eq!(response.header("x-original-request-id"), None);
    ["retry-after", "x-should-retry", "location"].map(|name| response.header(name))
}

/// A router whose handler gives this response each time.
fn responding(
    effects: &Effects,
    response: impl Fn() -> Response<Body> + Clone + Send + Sync + 'static,
) -> Router {
    app(effects, move |_| {
        let response = response();
        async move { response }
    })
}

/// A router that responds with the status in the path, or panics at `/panic`.
fn by_path(effects: &Effects) -> Router {
    app(effects, |request| async move {
        match &request.uri().path()[1..] {
            "panic" => panic!("as it was told to"),
            status => StatusCode::from_u16(status.parse().unwrap()).unwrap(),
        }
    })
}

/// The record under the key, if there is one.
async fn record_of(layer: &TestLayer, key: &str) -> Option<Record> {
    let key = IdempotencyKey::parse(key.as_bytes()).unwrap();
    layer.inspect(&Scope::anonymous(), &key).await.unwrap()
}

/// An operation under [`KEY`] that was begun and cut off, and what comes after it over the same
/// store.
struct CutOff {
    layer: TestLayer,
}

impl CutOff {
    /// Leaves a pending record behind, as a process that was killed does: the reply to its
    /// reservation is lost, so nothing runs. When this is ready, its lease has lapsed.
    async fn of(call: &Call) -> Self {
        let store = Scripted::over(store());
        let layer = IdempotencyLayer::new(DynStore::new(store.clone()));
        let layer = layer.namespace("contract").lease(Duration::from_millis(30));
        let effects = Effects::new();
        let server = Server::start(by_path(&effects).layer(layer.clone())).await;
        store.fault(Operation::Reserve, Fault::Lost);
        rejected(&call.send(&server).await, 503, "idempotency_store_unavailable");
        store.heal();
        assert_eq!(effects.count(), 0);

        let key = IdempotencyKey::parse(KEY.as_bytes()).unwrap();
        let key = StorageKey::derive(None, "contract", &Scope::anonymous(), &key);
        let lapsed = async {
            while let Some(Record { token, state: State::Pending { abandoned: false }, .. }) =
                record_of(&layer, KEY).await
            {
                store
                    .wait_for_change(&PendingRef::new(key, token), 0, Duration::from_mins(1))
                    .await
                    .unwrap();
            }
        };
        patiently(lapsed).await;
        Self { layer }
    }
}
