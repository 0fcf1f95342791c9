//! Clients and servers that speak of keys in one way, and those that do not.

use std::io;

use axum::Router;
use axum::body::{Body, Bytes};
use http::{HeaderName, Method, Request, StatusCode};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::client::{
    ClientLayer, Disposition, ErrorKind, MemoryKeyStore, Operations, Profile, Reported,
};

use super::{Canned, Turn, ask, post, quick};
use crate::support::{Effects, TestLayer, app, counting, layer};

const PROBLEM: (&str, &str) = ("content-type", "application/problem+json");

fn request(method: Method) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri("/").body(Full::from("order")).unwrap()
}

/// The header of the key in a request that went out, and whether its value is in quotes.
async fn sent(layer: ClientLayer, method: Method) -> Option<(String, bool)> {
    let canned = Canned::turns([]);
    ask(layer, canned.clone(), request(method)).await.unwrap();
    let asked = canned.asked();
    let keys = asked[0].keys();
    assert!(keys.len() < 2, "{keys:?}");
    keys.first().map(|(name, value)| ((*name).to_owned(), value.starts_with('"')))
}

#[tokio::test]
async fn a_profile_sets_the_header_the_form_and_the_methods() {
    let standard = |is_quoted| Some(("idempotency-key".to_owned(), is_quoted));
    for (profile, of_post, of_patch) in [
        (
            Profile::Default,
            Some(("x-idempotency-key".into(), false)),
            Some(("x-idempotency-key".into(), false)),
        ),
        (Profile::Ietf, standard(true), standard(true)),
        (Profile::Stripe, standard(false), None),
    ] {
        assert_eq!(sent(quick().profile(profile), Method::POST).await, of_post, "{profile:?}");
        assert_eq!(sent(quick().profile(profile), Method::PATCH).await, of_patch, "{profile:?}");
        assert_eq!(sent(quick().profile(profile), Method::PUT).await, None, "{profile:?}");
    }
}

#[tokio::test]
async fn setters_after_a_profile_still_count() {
    let layer = quick().profile(Profile::Stripe).methods([Method::PUT]).structured_field();
    let layer = layer.header(HeaderName::from_static("x-order-key"));
    assert_eq!(sent(layer.clone(), Method::PUT).await, Some(("x-order-key".into(), true)));
    assert_eq!(sent(layer, Method::POST).await, None);
}

/// Sends one operation, whose first response is lost, to a server of the crate.
async fn assert_done_once(guard: TestLayer, profile: Profile) {
    let effects = Effects::new();
    let server: Router = counting(&effects).layer(guard);
    let ledger = effects.clone();
    let lossy = service_fn(move |request: Request<Body>| {
        let (server, ledger) = (server.clone(), ledger.clone());
        async move {
            let is_first = ledger.count() == 0;
            let response = server.oneshot(request).await.unwrap_or_else(|never| match never {});
            if is_first { Err(io::Error::other("it is lost")) } else { Ok(response) }
        }
    });
    let request = Request::post("/orders").body(Body::from("order")).unwrap();
    let response = ask(quick().profile(profile), lossy, request).await.unwrap();
    assert_eq!(response.headers["x-idempotent-result"], "true", "{profile:?}");
    assert_eq!(
        (response.disposition, response.attempts),
        (Some(Disposition::Final), Some(2)),
        "{profile:?}"
    );
    assert_eq!(effects.count(), 1, "{profile:?}");
}

#[tokio::test]
async fn each_profile_is_guarded_by_the_layer_of_its_name() {
    assert_done_once(layer(), Profile::Default).await;
    assert_done_once(layer().stripe(), Profile::Stripe).await;
    #[cfg(feature = "strict-keys")]
    assert_done_once(layer().ietf(), Profile::Ietf).await;
}

#[tokio::test]
async fn a_key_that_the_server_does_not_understand_is_an_error_that_says_how_it_was_sent() {
    let cases = [
        (
            Profile::Default,
            "sent in the header x-idempotency-key, bare",
            "Profile::Ietf (idempotency-key, in quotes)",
        ),
        (
            Profile::Ietf,
            "sent in the header idempotency-key, in quotes",
            "Profile::Stripe (idempotency-key, bare)",
        ),
        (
            Profile::Stripe,
            "sent in the header idempotency-key, bare",
            "Profile::Default (x-idempotency-key, bare)",
        ),
    ];
    for (profile, form, other) in cases {
        for code in ["idempotency_key_missing", "idempotency_key_invalid"] {
            let body = format!(r#"{{"code":"{code}"}}"#);
            let canned = Canned::ever(Turn::response(400, &[PROBLEM], &body));
            let layer = quick().profile(profile);
            let error = ask(layer.clone(), canned.clone(), post("/")).await.unwrap_err();
            let said = (error.kind(), error.attempts(), error.is_in_doubt());
            assert_eq!(said, (ErrorKind::KeyNotUnderstood, 1, false), "{profile:?} {code}");
            let text = error.to_string();
            assert!(text.contains(form) && text.contains(other), "{text}");
            assert!(!text.contains(&format!("Profile::{profile:?}")), "{text}");

            // Nothing happened, so the key stays for the client that is set up right.
            let operations = Operations::new(MemoryKeyStore::new());
            let mut operation = operations.begin("payout 1").await.unwrap();
            let error = operation.send(&mut layer.layer(canned), post("/")).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.key()),
                (ErrorKind::KeyNotUnderstood, Some(operation.key()))
            );
            assert!(!operation.finish().await.unwrap());
            assert_eq!(operations.pending().await.unwrap().len(), 1);
        }
    }
}

#[tokio::test]
async fn a_server_of_the_crate_that_looks_for_the_key_elsewhere_is_noticed() {
    let server: Router = counting(&Effects::new()).layer(layer().require_key());
    let misled = quick().header(HeaderName::from_static("x-order-key"));
    let request = Request::post("/orders").body(Body::from("order")).unwrap();
    let error = ask(misled, server, request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyNotUnderstood, "{error}");
    assert!(error.to_string().contains("x-order-key"), "{error}");
}

#[tokio::test]
async fn after_a_stored_rejection_the_corrected_request_continues_under_a_new_key() {
    let effects = Effects::new();
    let ledger = effects.clone();
    let server: Router = app(&effects, move |_| {
        let status = if ledger.count() == 1 {
            StatusCode::UNPROCESSABLE_ENTITY
        } else {
            StatusCode::CREATED
        };
        async move { (status, "done") }
    })
    .layer(layer().stripe());
    let mut client = quick().profile(Profile::Stripe).layer(server);
    let order = |text: &'static str| Request::post("/orders").body(Body::from(text)).unwrap();
    let operations = Operations::new(MemoryKeyStore::new());

    let mut operation = operations.begin("payout 1").await.unwrap();
    let first = operation.send(&mut client, order("wrong")).await;
    assert_eq!(first.report().unwrap().disposition(), Disposition::Final);
    // Under the old key the corrected request is rejected, and the key stays.
    let mended = operation.send(&mut client, order("right")).await;
    assert_eq!(mended.report().unwrap().disposition(), Disposition::Unknown);
    let key = operation.key().clone();
    assert!(!operation.finish().await.unwrap());

    // The first request again shows what became of it, and frees the name.
    let mut operation = operations.begin("payout 1").await.unwrap();
    assert_eq!(operation.key(), &key);
    let replay = operation.send(&mut client, order("wrong")).await.unwrap();
    assert_eq!(
        (replay.status(), &replay.headers()["idempotent-replayed"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &"true".parse().unwrap())
    );
    assert!(operation.finish().await.unwrap());
    let mut operation = operations.begin("payout 1").await.unwrap();
    assert_ne!(operation.key(), &key);
    assert_eq!(
        operation.send(&mut client, order("right")).await.unwrap().status(),
        StatusCode::CREATED
    );
    assert!(operation.finish().await.unwrap());
    assert_eq!(effects.count(), 2);
}

#[tokio::test]
async fn a_name_retains_its_key_after_a_final_response_and_the_server_replays_it() {
    let effects = Effects::new();
    let mut client = quick().layer(counting(&effects).layer(layer()));
    let operations = Operations::new(MemoryKeyStore::new());
    for attempt in 1..=3 {
        let mut operation = operations.begin("payout 1").await.unwrap();
        let request = Request::post("/orders").body(Body::from("order")).unwrap();
        let response = operation.send(&mut client, request).await.unwrap();
        assert_eq!(operation.disposition(), Some(Disposition::Final));
        assert_eq!(response.headers().contains_key("x-idempotent-result"), attempt > 1);
        if attempt == 3 {
            assert!(operation.finish().await.unwrap());
        }
    }
    assert_eq!(effects.count(), 1);
    assert!(!operations.begin("payout 1").await.unwrap().is_resumed());
}
