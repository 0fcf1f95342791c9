// A document is written where it is passed.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use http::{HeaderName, HeaderValue, Method, Response, header};
use proptest::prelude::*;
use proptest::string::string_regex;
use serde_json::{Value, json};

use super::ApplyError;
use crate::record::fingerprint::JsonPointer;
use crate::record::key::KeyForm;
use crate::settings::OnOutage;
use crate::{IdempotencyLayer, MemoryStore, Rejection};

fn layer() -> IdempotencyLayer<MemoryStore> {
    IdempotencyLayer::new(MemoryStore::new())
}

/// The names of the key headers, and whether each is required.
fn parameters(layer: &IdempotencyLayer<MemoryStore>) -> Vec<(String, bool)> {
    let parameters = layer.openapi().parameters;
    let name = |parameter: &Value| parameter["name"].as_str().unwrap().to_owned();
    parameters.iter().map(|one| (name(one), one["required"].as_bool().unwrap())).collect()
}

#[test]
fn the_header_of_the_key_is_required_as_the_layer_requires_it() {
    let (ours, draft) = ("X-Idempotency-Key".to_owned(), "Idempotency-Key".to_owned());
    assert_eq!(parameters(&layer()), [(ours.clone(), false), (draft.clone(), false)]);
    assert_eq!(parameters(&layer().require_key()), [(ours.clone(), true)]);
    let description = layer().require_key().openapi().parameters[0]["description"].to_string();
    assert!(description.contains("`Idempotency-Key`"), "{description}");
    assert_eq!(parameters(&layer().stripe().require_key()), [(draft.clone(), true)]);
    assert_eq!(parameters(&layer().stripe()), [(draft.clone(), false), (ours.clone(), false)]);

    // A parameter that is there twice makes a document invalid.
    let twice = layer().headers(["x-key", "x-key"].map(HeaderName::from_static));
    assert_eq!(parameters(&twice), [("X-Key".to_owned(), false)]);

    // The body may have it instead, so no header is required.
    let in_body = layer().require_key().key_in_body(JsonPointer::from_static("/key"));
    assert_eq!(parameters(&in_body), [(ours, false), (draft, false)]);
    let description = in_body.openapi().parameters[0]["description"].to_string();
    assert!(description.contains("`/key`"), "{description}");
}

#[cfg(feature = "strict-keys")]
#[test]
fn the_form_of_the_key_is_that_of_the_layer() {
    let pattern =
        |layer: IdempotencyLayer<_>| layer.openapi().parameters[0]["schema"]["pattern"].clone();
    assert_eq!(pattern(layer()), KeyForm::ANY.pattern);
    assert_eq!(pattern(layer().ietf()), KeyForm::STRICT.pattern);
    assert_ne!(KeyForm::ANY.pattern, KeyForm::STRICT.pattern);
}

fn keys(form: KeyForm) -> impl Strategy<Value = (KeyForm, String)> {
    let pattern = form.pattern.trim_start_matches('^').trim_end_matches('$');
    string_regex(pattern).unwrap().prop_map(move |value| (form, value))
}

#[cfg(feature = "strict-keys")]
fn all_keys() -> impl Strategy<Value = (KeyForm, String)> {
    prop_oneof![keys(KeyForm::ANY), keys(KeyForm::STRICT)]
}

#[cfg(not(feature = "strict-keys"))]
fn all_keys() -> impl Strategy<Value = (KeyForm, String)> {
    keys(KeyForm::ANY)
}

proptest! {
    #[test]
    fn every_value_of_the_described_form_is_a_key((form, value) in all_keys()) {
        prop_assert!((form.parse)(value.as_bytes()).is_ok(), "{value:?}");
    }
}

#[test]
fn the_headers_of_replays_are_those_that_the_settings_give() {
    let results = |layer: IdempotencyLayer<_>| {
        layer.openapi().headers["X-Idempotent-Result"]["schema"]["enum"].clone()
    };
    assert_eq!(results(layer()), json!(["true"]));
    assert_eq!(results(layer().mark_original()), json!(["true", "false"]));
    let open = layer().on_outage(OnOutage::FailOpenRiskingDoubleEffects);
    assert_eq!(results(open), json!(["true", "unguarded"]));

    let marker =
        |layer: IdempotencyLayer<_>| layer.openapi().headers.contains_key("Idempotent-Replayed");
    assert!(marker(layer().stripe()) && !marker(layer()));
    let names = layer().openapi().headers.keys().cloned().collect::<Vec<_>>();
    let common =
        ["X-Idempotent-Body", "X-Idempotent-Result", "X-Original-Request-Id", "X-Request-Id"];
    assert_eq!(names, common);
}

#[cfg(feature = "repr-digest")]
#[test]
fn the_digest_of_an_omitted_body_is_a_header_of_replays() {
    use crate::StoredResponse;

    let has_digest =
        |level| layer().stored_response(level).openapi().headers.contains_key("Repr-Digest");
    assert!(has_digest(StoredResponse::Digest) && !has_digest(StoredResponse::Full));
}

#[test]
fn a_response_of_the_application_to_a_rejection_is_described_as_it_is() {
    let layer = layer().scope(|_| None).rejection_response(|rejection| {
        let mut response = Response::new(rejection.code().into());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        if *rejection == Rejection::ScopeMissing {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    });
    let responses = layer.openapi().responses;
    let unauthorized = &responses["401"];
    assert!(unauthorized["headers"]["WWW-Authenticate"].is_object());
    let text = &unauthorized["content"]["text/plain"];
    assert_eq!(text["schema"], Value::Null, "only the application knows the form");
    let example = &text["examples"]["idempotency_scope_missing"]["value"];
    assert_eq!(example, "idempotency_scope_missing");
    assert!(responses["503"]["headers"]["Retry-After"]["required"].as_bool().unwrap());
}

/// A document with one operation: `POST /p`.
fn document(operation: Value) -> Value {
    json!({ "openapi": "3.1.0", "paths": { "/p": { "post": operation } } })
}

/// The operation after the layer was described.
fn applied(layer: &IdempotencyLayer<MemoryStore>, operation: Value) -> Value {
    let mut document = document(operation);
    layer.openapi().apply_to(&mut document, "/p", &Method::POST).unwrap();
    assert!(document["components"]["schemas"]["IdempotencyProblem"].is_object());
    document["paths"]["/p"]["post"].take()
}

#[test]
fn each_response_of_the_operation_may_be_a_replay() {
    let own = json!({ "responses": {
        "201": { "description": "Paid.", "headers": { "Location": { "schema": {} } } },
        "default": { "description": "Not paid." },
    } });
    let operation = applied(&layer(), own);
    for status in ["201", "default"] {
        let header = &operation["responses"][status]["headers"]["X-Idempotent-Result"];
        assert!(header["schema"].is_object() && header["required"].is_null(), "{status}");
    }
    assert!(operation["responses"]["201"]["headers"]["Location"].is_object());
    assert_eq!(operation["responses"]["201"]["description"], "Paid.");
    let rejected = &operation["responses"]["503"];
    assert!(
        rejected["headers"]["X-Idempotent-Result"].is_object(),
        "a 503 of `default` may be one"
    );
    let only_rejected = applied(&layer(), json!({}));
    let headers = only_rejected["responses"]["503"]["headers"].as_object().unwrap();
    assert_eq!(headers.keys().collect::<Vec<_>>(), ["Retry-After"]);
}

#[test]
fn a_status_that_the_operation_has_too_describes_both_responses() {
    let conflict = json!({
        "description": "Sold out.",
        "headers": { "retry-after": { "required": true, "schema": { "type": "string" } } },
        "content": {
            "application/json": { "schema": { "type": "string" } },
            "Application/Problem+JSON": { "schema": { "type": "object" }, "example": {} },
        },
    });
    let range = json!({ "description": "Not paid.", "content": { "text/plain": {} } });
    for name in ["409", "4XX", "4xx", "default"] {
        let operation = applied(&layer(), json!({ "responses": { name: conflict } }));
        let both = &operation["responses"]["409"];
        let text = both["description"].as_str().unwrap();
        assert!(text.starts_with("Sold out.\n\n") && text.contains("`idempotency_key_reused`"));
        assert!(both["content"]["application/json"].is_object(), "{name}");
        let problem = &both["content"]["Application/Problem+JSON"];
        let [own, ours] = &problem["schema"]["anyOf"].as_array().unwrap()[..] else {
            panic!("{problem}")
        };
        assert_eq!(own, &json!({ "type": "object" }));
        assert_eq!(ours["allOf"][0]["$ref"], "#/components/schemas/IdempotencyProblem");
        assert_eq!(problem["examples"], Value::Null, "`example` excludes it");
        let retry = &both["headers"]["retry-after"];
        assert_eq!(retry["required"], Value::Null, "a mismatch has none");
        assert_eq!(retry["schema"]["anyOf"].as_array().unwrap().len(), 2);
    }
    // The closest description counts, and the range stays for other statuses.
    let operation = applied(&layer(), json!({ "responses": { "409": conflict, "4XX": range } }));
    let [own, of_range] = ["409", "4XX"].map(|status| &operation["responses"][status]);
    assert!(
        own["content"]["text/plain"].is_null() && of_range["content"]["text/plain"].is_object()
    );
}

#[test]
fn a_response_that_the_document_refers_to_becomes_a_copy_in_the_operation() {
    let operation = json!({
        "parameters": [{ "$ref": "#/components/parameters/Key" }, { "$ref": "#/components/parameters/Trace" }],
        "responses": { "409": { "$ref": "#/components/responses/SoldOut" } },
    });
    let mut document = document(operation);
    document["components"] = json!({
        "parameters": {
            "Key": { "name": "x-idempotency-key", "in": "header", "schema": {} },
            "Trace": { "name": "traceparent", "in": "header", "schema": {} },
        },
        "responses": { "SoldOut": { "$ref": "#/components/responses/Gone" }, "Gone": { "description": "Sold out." } },
    });
    let before = document["components"]["responses"].clone();
    layer().require_key().openapi().apply_to(&mut document, "/p", &Method::POST).unwrap();
    assert_eq!(document["components"]["responses"], before);
    let operation = &document["paths"]["/p"]["post"];
    assert!(
        operation["responses"]["409"]["description"].as_str().unwrap().starts_with("Sold out.")
    );
    let [ours, other] = &operation["parameters"].as_array().unwrap()[..] else { panic!() };
    assert_eq!((&ours["name"], &ours["required"]), (&json!("X-Idempotency-Key"), &json!(true)));
    assert_eq!(other["$ref"], "#/components/parameters/Trace");
}

#[test]
fn a_second_application_changes_no_schema_and_no_description() {
    let own = json!({ "responses": { "409": {
        "description": "Sold out.",
        "content": { "application/problem+json": { "schema": { "type": "object" } } },
    } } });
    let once = applied(&layer(), own);
    let twice = applied(&layer(), once.clone());
    for part in ["description", "content"] {
        assert_eq!(twice["responses"]["409"][part], once["responses"]["409"][part]);
    }
    assert_eq!(twice["parameters"], once["parameters"]);
}

#[test]
fn all_operations_whose_method_is_guarded_are_described_at_once() {
    let operation = json!({ "responses": {} });
    let mut document = json!({ "paths": {
        "/p": { "post": operation, "get": operation },
        "/p/{id}": { "patch": operation },
    } });
    layer().openapi().apply_to_all(&mut document).unwrap();
    let is_described = |pointer| document.pointer(pointer).unwrap()["parameters"].is_array();
    assert!(is_described("/paths/~1p/post") && is_described("/paths/~1p~1{id}/patch"));
    assert!(!is_described("/paths/~1p/get"));
    let nothing = layer().methods([Method::PUT]).openapi().apply_to_all(&mut document);
    assert_eq!(nothing, Err(ApplyError::NothingGuarded));
}

#[test]
fn what_cannot_be_described_is_an_error_and_leaves_the_document_as_it_was() {
    let nowhere = json!({ "$ref": "#/components/responses/Missing" });
    let circle = json!({ "$ref": "#/paths/~1p/post/responses/409" });
    let elsewhere = json!({ "$ref": "other.json#/responses/Gone" });
    for response in [nowhere, circle, elsewhere, json!("Gone."), json!(null)] {
        let mut document = document(json!({ "responses": { "409": response } }));
        let before = document.clone();
        let error = layer().openapi().apply_to(&mut document, "/p", &Method::POST).unwrap_err();
        assert!(
            matches!(error, ApplyError::UnknownReference { .. } | ApplyError::NotAnObject { .. }),
            "{error}"
        );
        assert_eq!(document, before);
    }
    let mut document = document(json!({}));
    let mut apply = |path, method| layer().openapi().apply_to(&mut document, path, &method);
    let missing = ApplyError::NoOperation { path: "/q".into(), method: Method::POST };
    assert_eq!(apply("/q", Method::POST), Err(missing));
    let not_guarded = ApplyError::NotGuarded { method: Method::GET };
    assert_eq!(apply("/p", Method::GET), Err(not_guarded));
    for value in [json!(null), json!([]), json!("text")] {
        let mut document = value;
        assert!(layer().openapi().apply_to(&mut document, "/p", &Method::POST).is_err());
        assert!(layer().openapi().apply_to_all(&mut document).is_err());
    }
}
