//! Every rejection that a layer gives is in its OpenAPI fragment, and nothing that it cannot give.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use axum::body::Body;
use http::{HeaderName, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower_idempotency::openapi::Fragment;
use tower_idempotency::store::{DynStore, StoreErrorKind};
use tower_idempotency::{
    InFlight, MemoryStore, OnAbandoned, OnFailed, OnMismatch, OnOutage, QuotaExceeded, Rejection,
    Scope, StoredResponse,
};

use super::produced;
use crate::support::{TestLayer, layer, layer_over, rejections};

const PROBLEM: &str = "application/problem+json";

/// The codes that a fragment describes.
fn codes(fragment: &Fragment) -> BTreeSet<String> {
    let schemas =
        fragment.responses().values().map(|response| &response["content"][PROBLEM]["schema"]);
    let codes = schemas
        .flat_map(|schema| schema["allOf"][1]["properties"]["code"]["enum"].as_array().unwrap());
    codes.map(|code| code.as_str().unwrap().to_owned()).collect()
}

/// Asserts that the fragment of the layer describes a response, if that is a rejection. Returns its
/// code.
async fn assert_described(layer: &TestLayer, response: Response<Body>) -> Option<String> {
    let (head, body) = response.into_parts();
    let rejection = head.extensions.get::<Rejection>()?;
    let fragment = layer.openapi();
    let status = head.status.as_str();
    let described = fragment.responses().get(status);
    let described = described.unwrap_or_else(|| panic!("{status} of {rejection:?} is missing"));

    let content = &described["content"][PROBLEM];
    let problem: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
    let schema = &content["schema"]["allOf"][1]["properties"];
    let codes = schema["code"]["enum"].as_array().unwrap();
    assert!(codes.contains(&problem["code"]), "{rejection:?} is not in {codes:?} of {status}");
    assert_eq!(schema["status"]["enum"], json!([problem["status"]]));
    let base = &fragment.schemas()["IdempotencyProblem"];
    for (name, value) in problem.as_object().unwrap() {
        let type_of = base["properties"][name]["type"].as_str();
        let is_right = type_of == Some(if value.is_string() { "string" } else { "integer" });
        assert!(is_right, "`{name}` of {rejection:?} is not as it is described");
    }
    let example = &content["examples"][rejection.code()]["value"];
    assert_eq!((&example["title"], &example["type"]), (&problem["title"], &problem["type"]));

    let headers = described["headers"].as_object().cloned().unwrap_or_default();
    let names = |name: &str| HeaderName::try_from(name).unwrap();
    for name in head.headers.keys().filter(|name| *name != "content-type" && *name != "connection")
    {
        let is_described = headers.keys().any(|described| names(described) == name);
        assert!(is_described, "{name} of {rejection:?} is missing");
    }
    for (name, header) in headers.iter().filter(|(_, header)| header["required"] == true) {
        assert!(head.headers.contains_key(names(name)), "{rejection:?}: {header} is not required");
    }
    Some(rejection.code().to_owned())
}

#[tokio::test]
async fn a_fragment_describes_every_rejection_that_its_layer_gives() {
    for row in rejections() {
        for status in row.statuses {
            let (layer, response) =
                produced::by(&row.variant, status, "text/plain", |layer| layer).await;
            assert_eq!(assert_described(&layer, response).await.as_deref(), Some(&*row.code));
        }
    }
}

/// Settings by chance. None of them rejects every request, because the tests that need two requests
/// would wait for the first one.
fn random(layer: TestLayer, seed: u64) -> TestLayer {
    let mut drawn = 0;
    let mut draw = |number: u8| {
        drawn += 1;
        let mut hasher = DefaultHasher::new();
        (seed, drawn).hash(&mut hasher);
        usize::from(hasher.finish().to_le_bytes()[0] % number)
    };
    let mut layer = layer
        .on_failed([OnFailed::Rerun, OnFailed::Replay, OnFailed::Reject][draw(3)])
        .on_abandoned([OnAbandoned::Rerun, OnAbandoned::Reject][draw(2)])
        .on_outage([OnOutage::FailClosed, OnOutage::FailOpenRiskingDoubleEffects][draw(2)])
        .on_mismatch([OnMismatch::Conflict, OnMismatch::BadRequest][draw(2)])
        .stored_response([StoredResponse::Full, StoredResponse::Nothing][draw(2)])
        .retry_after(Duration::from_secs(draw(3) as u64));
    if draw(2) == 0 {
        layer = layer.in_flight(InFlight::Wait(Duration::from_millis(1)));
    }
    if draw(2) == 0 {
        layer = layer.require_key();
    }
    if draw(2) == 0 {
        layer = layer.scope(|_| Some(Scope::new("alice")));
    }
    if draw(2) == 0 {
        layer = layer.max_in_flight(1);
    }
    if draw(2) == 0 {
        layer = layer.quota(|_| Ok::<_, QuotaExceeded>(()));
    }
    layer
}

#[tokio::test]
async fn a_fragment_describes_every_rejection_under_random_settings() {
    let mut met = BTreeSet::new();
    for row in rejections() {
        for (index, status) in row.statuses.iter().cycle().take(24).enumerate() {
            let tune = |layer| random(layer, index as u64);
            let (layer, response) = produced::by(&row.variant, *status, "text/plain", tune).await;
            met.extend(assert_described(&layer, response).await);
        }
    }
    let all: BTreeSet<_> = rejections().into_iter().map(|row| row.code).collect();
    assert_eq!(met, all);
}

#[test]
fn a_fragment_has_only_the_rejections_that_its_settings_allow() {
    let always = [
        "idempotency_key_in_flight",
        "idempotency_key_invalid",
        "idempotency_key_reused",
        "idempotency_result_not_retained",
        "idempotency_shutting_down",
        "idempotency_store_unavailable",
        "request_timeout",
        "request_too_large",
        "request_unreadable",
    ];
    let always = BTreeSet::from(always.map(str::to_owned));
    assert_eq!(codes(&layer().openapi()), always);

    let exceeded = |_: &Scope| Err::<(), _>(QuotaExceeded::new(Duration::ZERO));
    let missing = "idempotency_scope_missing";
    // The memory store limits the share of a scope, so a layer with scopes gives 429 too.
    for (layer, added) in [
        (layer().require_key(), vec!["idempotency_key_missing"]),
        (layer().scope(|_| None), vec!["idempotency_quota_exceeded", missing]),
        (layer().on_abandoned(OnAbandoned::Reject), vec!["idempotency_outcome_unknown"]),
        (layer().on_failed(OnFailed::Replay), vec!["idempotency_attempt_failed"]),
        (layer().on_failed(OnFailed::Reject), vec!["idempotency_attempt_failed"]),
        (layer().max_in_flight(1), vec!["idempotency_too_many_in_flight"]),
        (layer().quota(exceeded), vec!["idempotency_quota_exceeded"]),
        (
            layer_over(produced::uncommitted(StoreErrorKind::Timeout)),
            vec!["idempotency_commit_unconfirmed", "idempotency_transaction_lost"],
        ),
    ] {
        let more = codes(&layer.openapi()).difference(&always).cloned().collect::<Vec<_>>();
        assert_eq!(more, added);
    }
}

/// A store that wraps another one in `DynStore` must still say what it can do.
#[test]
fn a_boxed_store_says_what_the_store_says() {
    use tower_idempotency::store::Store;

    let store = DynStore::new(MemoryStore::new());
    assert!(store.limits_scopes() && !store.opens_transactions());
}
