//! Whose key it is.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Request, StatusCode, header};
use tower::ServiceExt;
use tower_idempotency::store::{DynStore, Store};
use tower_idempotency::{Fingerprint, IdempotencyKey, IdempotencyLayer, Rejection, Scope};

use crate::support::{Effects, Log, Scripted, Server, counting, layer, layer_over, post, store};

fn by_credential(parts: &http::request::Parts) -> Scope {
    parts.headers.get("authorization").map_or_else(Scope::anonymous, Scope::new)
}

#[tokio::test]
async fn a_scope_separates_callers() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer().scope(by_credential))).await;
    let of = |credential: &str| post("/").key("order-1001").header("Authorization", credential);

    let alice = of("Bearer alice").send(&server).await;
    let bob = of("Bearer bob").send(&server).await;
    let anonymous = post("/").key("order-1001").send(&server).await;
    let empty = of("").send(&server).await;
    alice.assert_first(200, "run 1");
    bob.assert_first(200, "run 2");
    anonymous.assert_first(200, "run 3");
    empty.assert_first(200, "run 4");

    of("Bearer alice").send(&server).await.assert_replays(&alice);
    of("Bearer bob").send(&server).await.assert_replays(&bob);
    post("/").key("order-1001").send(&server).await.assert_replays(&anonymous);
    assert_eq!(effects.count(), 4);
}

/// The account that the authentication has verified.
#[derive(Clone)]
struct Account(&'static str);

async fn authenticate(mut request: Request<Body>, next: Next) -> Response {
    match request.headers().get("authorization").map(http::HeaderValue::as_bytes) {
        Some(b"Bearer alice") => request.extensions_mut().insert(Account("alice")),
        Some(b"Bearer bob") => request.extensions_mut().insert(Account("bob")),
        _ => return StatusCode::UNAUTHORIZED.into_response(),
    };
    next.run(request).await
}

fn by_account(parts: &http::request::Parts) -> Option<Scope> {
    parts.extensions.get::<Account>().map(|Account(name)| Scope::new(name))
}

#[tokio::test]
async fn a_layer_outside_of_the_authentication_replays_to_no_one_and_says_so() {
    let (log, _guard) = Log::warnings();
    let effects = Effects::new();
    let app = counting(&effects).layer(from_fn(authenticate)).layer(layer().scope(by_account));
    let server = Server::start(app).await;
    for credential in ["Bearer alice", "Bearer bob", "Bearer stranger"] {
        let request = post("/").key("order-1001").header("Authorization", credential);
        request.send(&server).await.assert_rejected(401, "idempotency_scope_missing");
    }
    post("/")
        .key("order-1001")
        .send(&server)
        .await
        .assert_rejected(401, "idempotency_scope_missing");
    assert_eq!(effects.count(), 0);
    let warnings = log.lines("the `scope` function found no caller");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("this layer is outside of the authentication"), "{warnings:?}");

    // A request without a key is the handler's own matter.
    let unguarded = post("/").header("Authorization", "Bearer alice").send(&server).await;
    unguarded.assert_first(200, "run 1");
}

#[tokio::test]
async fn a_scope_may_be_an_error_and_its_rejection_may_be_replaced() {
    let effects = Effects::new();
    let by_header = |parts: &http::request::Parts| {
        let user = parts.headers.get("x-user").ok_or("no user")?;
        Ok::<_, &str>(Scope::new(user))
    };
    let challenge = |rejection: &Rejection| {
        let mut response = rejection.render();
        if *rejection == Rejection::ScopeMissing {
            let challenge = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    };
    let layer = layer().scope(by_header).rejection_response(challenge);
    let server = Server::start(counting(&effects).layer(layer)).await;

    let rejected = post("/").key("order-1001").send(&server).await;
    rejected.assert_rejected(401, "idempotency_scope_missing");
    assert_eq!(rejected.header("www-authenticate"), Some("Bearer"));
    let seven = post("/").key("order-1001").header("x-user", "7").send(&server).await;
    seven.assert_first(200, "run 1");
}

#[tokio::test]
async fn a_hundred_anonymous_callers_are_warned_of_once() {
    let says = "all callers so far are anonymous";
    let (log, _guard) = Log::warnings();
    let server = Server::start(counting(&Effects::new()).layer(layer().scope(by_credential))).await;
    for number in 0..99 {
        post("/").key(format!("order-{number}")).send(&server).await;
    }
    assert_eq!(log.lines(says).len(), 0);
    for number in 99..202 {
        post("/").key(format!("order-{number}")).send(&server).await;
    }
    assert_eq!(log.lines(says).len(), 1);
}

#[tokio::test]
async fn anonymous_callers_after_another_one_are_not_warned_of() {
    let (log, _guard) = Log::warnings();
    let server = Server::start(counting(&Effects::new()).layer(layer().scope(by_credential))).await;
    post("/").key("order-1001").header("Authorization", "Bearer alice").send(&server).await;
    for number in 0..110 {
        post("/").key(format!("order-{number}")).send(&server).await;
    }
    assert_eq!(log.lines("all callers so far are anonymous").len(), 0);
}

#[tokio::test]
async fn scope_and_key_do_not_run_into_each_other() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer().scope(by_credential))).await;
    for (scope, key) in [("a", "b:c"), ("a:b", "c"), ("a:", "b:c"), ("ab", ":c"), ("A", "b:c")] {
        let response = post("/").key(key).header("Authorization", scope).send(&server).await;
        assert!(!response.is_replay(), "scope {scope:?}, key {key:?}");
    }
    assert_eq!(effects.count(), 5);
}

#[tokio::test]
async fn namespaces_and_secrets_separate_services_in_one_store() {
    let effects = Effects::new();
    let layer = layer_over(store());
    let layers = [
        layer.clone(),
        layer.clone().namespace("payments"),
        layer.clone().namespace("Payments"),
        layer.clone().secret([1; 32]),
        layer.clone().secret([2; 32]),
    ];
    for (index, layer) in layers.into_iter().enumerate() {
        let server = Server::start(counting(&effects).layer(layer)).await;
        let first = post("/").key("order-1001").send(&server).await;
        first.assert_first(200, &format!("run {}", index + 1));
        post("/").key("order-1001").send(&server).await.assert_replays(&first);
    }
    assert_eq!(effects.count(), 5);
}

fn by_user(parts: &http::request::Parts) -> Scope {
    parts.headers.get("x-user").map_or_else(Scope::anonymous, Scope::new)
}

/// A request as a server gets it: with this target, and these values of `Host`.
fn to(target: &str, hosts: &[&str]) -> Request<Body> {
    let mut request =
        Request::post(target).header("x-idempotency-key", "order-1001").header("x-user", "7");
    for host in hosts {
        request = request.header("host", *host);
    }
    request.body(Body::empty()).unwrap()
}

async fn is_replay(router: &Router, request: Request<Body>) -> bool {
    let response = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    response.headers().contains_key("x-idempotent-result")
}

#[tokio::test]
async fn with_the_host_in_the_scope_users_of_two_hosts_are_told_apart() {
    let effects = Effects::new();
    let router = counting(&effects).layer(layer().scope(by_user).host_in_scope());
    let new: [(&str, &[&str]); 9] = [
        ("/", &["one.example"]),
        ("/", &["two.example"]),
        ("/", &["one.example:8443"]),
        ("/", &["one.example", "two.example"]),
        ("/", &["two.example", "one.example"]),
        ("/", &["one.exampletwo.example"]),
        ("/", &[]),
        // An application may read either of the two, so the request is of neither.
        ("http://one.example/", &["three.example"]),
        ("http://one.example:8443/", &["one.example"]),
    ];
    for (target, hosts) in new {
        assert!(!is_replay(&router, to(target, hosts)).await, "{target} {hosts:?}");
    }
    let known: [(&str, &[&str]); 10] = [
        ("/", &["one.example"]),
        ("/", &["ONE.Example"]),
        ("/", &["one.example", "one.example"]),
        ("/", &["one.example", "two.example"]),
        ("/", &["two.example", "one.example"]),
        // `:authority` over HTTP/2 is in the target, too.
        ("http://one.example/", &["one.example"]),
        ("http://user@One.example/", &[]),
        ("http://one.example:8443/", &[]),
        ("http://one.example/", &["three.example"]),
        ("/", &[]),
    ];
    for (target, hosts) in known {
        assert!(is_replay(&router, to(target, hosts)).await, "{target} {hosts:?}");
    }
    assert_eq!(effects.count(), new.len());
}

#[tokio::test]
async fn a_caller_has_one_quota_whatever_port_it_names() {
    let (effects, seen) = (Effects::new(), Arc::new(Mutex::new(HashSet::new())));
    let scopes = Arc::clone(&seen);
    let guard = layer().scope(by_user).host_in_scope().quota(move |scope| {
        scopes.lock().unwrap().insert(scope.clone());
        Ok(())
    });
    let router = counting(&effects).layer(guard);
    for host in ["one.example", "one.example:1", "one.example:2", "ONE.example.", "one.example.:3"]
    {
        assert!(!is_replay(&router, to("/", &[host])).await, "{host}");
    }
    assert_eq!(seen.lock().unwrap().len(), 1);
    for hosts in
        [["one.example", "two.example"], ["two.example", "one.example"], ["one.example", "x"]]
    {
        assert!(!is_replay(&router, to("/", &hosts)).await, "{hosts:?}");
        assert!(!is_replay(&router, to(&format!("http://{}/", hosts[0]), &["y", hosts[1]])).await);
    }
    assert_eq!(seen.lock().unwrap().len(), 2, "all that name several are counted together");
}

#[tokio::test]
async fn without_that_option_the_host_does_not_count() {
    let effects = Effects::new();
    let router = counting(&effects).layer(layer().scope(by_user));
    assert!(!is_replay(&router, to("/", &["one.example"])).await);
    assert!(is_replay(&router, to("http://two.example/", &["three.example"])).await);
}

#[tokio::test]
async fn a_key_is_inspected_on_its_host() {
    let effects = Effects::new();
    let guard = layer().scope(by_user).host_in_scope();
    let router = counting(&effects).layer(guard.clone());
    is_replay(&router, to("/", &["One.example"])).await;
    let key = IdempotencyKey::parse(b"order-1001").unwrap();
    let user = || Scope::new("7");
    for (scope, is_there) in [
        (user().on_host("one.EXAMPLE"), true),
        (user().on_host("two.example"), false),
        (user(), false),
    ] {
        assert_eq!(guard.inspect(&scope, &key).await.unwrap().is_some(), is_there);
    }
}

/// On one thread, whose log is its own.
#[tokio::test]
async fn a_shared_store_without_a_namespace_is_warned_of_once() {
    let (log, _guard) = Log::warnings();
    let warnings = || log.lines("no namespace is set").len();
    let shared = || DynStore::new(Scripted::over(store()).shared());
    assert!(shared().is_shared() && !store().is_shared());

    let named = layer_over(shared());
    let alone = IdempotencyLayer::new(store());
    for guard in [&named, &alone] {
        let _ = counting(&Effects::new()).layer(guard.clone());
    }
    assert_eq!(warnings(), 0, "one has a namespace, and the other a store of its own");

    let nameless = IdempotencyLayer::new(shared());
    let server = Server::start(counting(&Effects::new()).layer(nameless.clone())).await;
    assert_eq!(warnings(), 1);
    post("/").key("order-1001").send(&server).await;
    let _ = counting(&Effects::new()).layer(nameless);
    assert_eq!(warnings(), 1, "one for all routes and requests");

    let key = IdempotencyKey::parse(b"message-1001").unwrap();
    let operation = |_| async { Ok::<_, std::io::Error>(()) };
    let nameless = IdempotencyLayer::new(shared());
    let fingerprint = Fingerprint::of_fields(["payout"]);
    nameless.execute(&Scope::anonymous(), &key, fingerprint, operation).await.unwrap();
    assert_eq!(warnings(), 2, "an operation outside of HTTP shares the store too");
}
