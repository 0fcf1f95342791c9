//! Section 1: the request.

use std::collections::HashSet;

use axum::body::to_bytes;
use axum::extract::{DefaultBodyLimit, Request};
use axum::{Router, routing};
use bytes::Bytes;
use http::{HeaderName, Method, header};
use tower_idempotency::store::StorageKey;
use tower_idempotency::{Attempt, Scope};

use super::{KEY, record_of, rejected};
use crate::support::{Call, Effects, Log, Server, app, call, counting, layer, patch, post};

const BAD_KEYS: [&[u8]; 9] = [
    b"",
    b"\"\"",
    b"\"order-1001",
    b"order 1001",
    b"order\t1001",
    b"order-\x7f1001",
    b"order-\x011001",
    "bestellung-ü".as_bytes(),
    &[b'k'; 256],
];

#[tokio::test]
async fn header_is_x_idempotency_key_or_idempotency_key_and_its_name_is_configurable() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    let first = post("/").header("X-Idempotency-Key", KEY).send(&server).await;
    first.assert_first(200, "run 1");
    post("/").header("Idempotency-Key", KEY).send(&server).await.assert_replays(&first);
    let both = post("/").header("Idempotency-Key", KEY).header("X-Idempotency-Key", KEY);
    both.send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);

    let effects = Effects::new();
    let renamed = layer().header(HeaderName::from_static("x-request-key"));
    let server = Server::start(counting(&effects).layer(renamed)).await;
    let first = post("/").header("X-Request-Key", KEY).send(&server).await;
    post("/").header("X-Request-Key", KEY).send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
    for name in ["X-Idempotency-Key", "Idempotency-Key"] {
        post("/").header(name, KEY).send(&server).await;
        assert!(
            !post("/").header(name, KEY).send(&server).await.is_replay(),
            "{name} is no key any more"
        );
    }
    assert_eq!(effects.count(), 5);
}

#[tokio::test]
async fn header_both_present_and_different_is_400() {
    let effects = Effects::new();
    let guard = layer();
    let server = Server::start(counting(&effects).layer(guard.clone())).await;
    for other in ["order-1002", "ORDER-1001", ""] {
        let response = post("/").key(KEY).header("Idempotency-Key", other).send(&server).await;
        assert_eq!(rejected(&response, 400, "idempotency_key_invalid"), [None; 3]);
    }
    assert_eq!(effects.count(), 0);
    assert!(record_of(&guard, KEY).await.is_none());
}

#[tokio::test]
async fn header_never_the_url_the_query_or_a_cookie() {
    let effects = Effects::new();
    let required = Server::start(counting(&effects).layer(layer().require_key())).await;
    let passing = Server::start(counting(&effects).layer(layer())).await;
    let places = [
        post(&format!("/{KEY}")),
        post(&format!("/?idempotency-key={KEY}&x-idempotency-key={KEY}&idempotency_key={KEY}")),
        post("/").header("Cookie", format!("Idempotency-Key={KEY}; X-Idempotency-Key={KEY}")),
    ];
    for place in places {
        let response = place.send(&required).await;
        assert_eq!(rejected(&response, 400, "idempotency_key_missing"), [None; 3]);
        let before = effects.count();
        for run in 1..=2 {
            place.send(&passing).await.assert_first(200, &format!("run {}", before + run));
        }
    }
    assert_eq!(effects.count(), 6);
    assert!(effects.attempts().is_empty());
}

#[tokio::test]
async fn value_is_1_to_255_bytes_of_visible_ascii_quoted_or_bare() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    let visible: String = (0x21..=0x7e_u8).filter(|byte| *byte != b'"').map(char::from).collect();
    let values =
        ["k".to_owned(), "k".repeat(255), visible, "8e03978e-40d5-43e8-bc93-6894a57f9324".into()];
    for (index, value) in values.iter().enumerate() {
        let first = post("/").key(value).send(&server).await;
        first.assert_first(200, &format!("run {}", index + 1));
        let quoted = format!("\"{}\"", value.replace('\\', "\\\\"));
        post("/").key(quoted).send(&server).await.assert_replays(&first);
        assert_eq!(
            effects.heads()[index].extensions.get::<Attempt>().unwrap().key().as_str(),
            value
        );
    }
    assert_eq!(effects.count(), values.len());
}

#[tokio::test]
async fn value_that_is_not_a_key_or_comes_twice_is_400_and_never_passes() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    for name in ["X-Idempotency-Key", "Idempotency-Key"] {
        for value in BAD_KEYS {
            let response = post("/").header(name, value).send(&server).await;
            // The HTTP parser may have rejected control bytes already, without a document.
            if response.body.is_empty() {
                assert!(value.iter().any(u8::is_ascii_control), "{value:?}");
                assert_eq!(response.status, 400);
            } else {
                assert_eq!(
                    rejected(&response, 400, "idempotency_key_invalid"),
                    [None; 3],
                    "{value:?}"
                );
            }
        }
        for second in [KEY, "order-1002"] {
            let response = post("/").header(name, KEY).header(name, second).send(&server).await;
            assert_eq!(rejected(&response, 400, "idempotency_key_invalid"), [None; 3]);
        }
    }
    assert_eq!(effects.count(), 0);
}

#[cfg(feature = "strict-keys")]
#[tokio::test]
async fn strict_mode_takes_a_string_of_rfc_9651_only() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer().strict_keys())).await;
    let first = post("/").key("\"order-1001\"").send(&server).await;
    first.assert_first(200, "run 1");
    post("/").key("\"order-1001\"").send(&server).await.assert_replays(&first);
    // A token, an integer, bytes, a boolean, a date, a display string, a list, an inner list, no
    // string, an empty one.
    let others = [
        "order-1001",
        "1001",
        ":b3JkZXI=:",
        "?1",
        "@1659578233",
        "%\"order\"",
        "\"a\", \"b\"",
        "(\"order-1001\")",
        "\"order-1001",
        "\"order\\-1001\"",
        "\"\"",
        "",
    ];
    for value in others {
        let response = post("/").key(value).send(&server).await;
        assert_eq!(rejected(&response, 400, "idempotency_key_invalid"), [None; 3], "{value}");
    }
    assert_eq!(effects.count(), 1);

    let spaced = post("/").key("\"foo bar\"");
    let first = spaced.send(&server).await;
    first.assert_first(200, "run 2");
    spaced.send(&server).await.assert_replays(&first);
}

#[tokio::test]
async fn guarded_methods_are_post_and_patch_unless_others_are_chosen() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    for (index, call) in [post("/").key("of-post"), patch("/").key("of-patch")].iter().enumerate() {
        let first = call.send(&server).await;
        first.assert_first(200, &format!("run {}", index + 1));
        call.send(&server).await.assert_replays(&first);
    }
    assert_eq!(effects.count(), 2);

    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer().methods([Method::PUT]))).await;
    let first = call("PUT", "/").key(KEY).send(&server).await;
    call("PUT", "/").key(KEY).send(&server).await.assert_replays(&first);
    post("/").key(KEY).send(&server).await.assert_first(200, "run 2");
    post("/").key(KEY).send(&server).await.assert_first(200, "run 3");
}

#[tokio::test]
async fn guarded_methods_leave_others_and_preflight_untouched() {
    let effects = Effects::new();
    // With the strictest settings, so that each request the layer looked at would be rejected.
    let strict = layer().require_key().max_request(1).max_response(1);
    let server = Server::start(counting(&effects).layer(strict)).await;
    let preflight = call("OPTIONS", "/")
        .header("Origin", "https://shop.example")
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "x-idempotency-key");
    let others = ["GET", "PUT", "DELETE"]
        .map(|method| call(method, "/").key(KEY).key("").body("more than one byte"));
    for (index, other) in others.into_iter().chain([preflight]).enumerate() {
        let response = other.header("X-Idempotent-Result", "true").send(&server).await;
        response.assert_first(200, &format!("run {}", index + 1));
    }
    for head in effects.heads() {
        assert!(head.extensions.get::<Attempt>().is_none());
        assert_eq!(head.headers["x-idempotent-result"], "true");
    }
    assert_eq!(effects.count(), 4);
}

#[tokio::test]
async fn no_key_passes_through_unguarded_by_default() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer().mark_original())).await;
    for run in 1..=2 {
        let response = post("/").body("the same").send(&server).await;
        response.assert_first(200, &format!("run {run}"));
    }
    assert_eq!(effects.count(), 2);
    assert!(effects.attempts().is_empty(), "an unguarded request is no attempt");
}

#[tokio::test]
async fn no_key_is_400_where_one_is_required() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer().require_key())).await;
    for call in [post("/"), patch("/")] {
        let response = call.body("body").send(&server).await;
        assert_eq!(rejected(&response, 400, "idempotency_key_missing"), [None; 3]);
    }
    assert_eq!(effects.count(), 0);
}

fn by_tenant(parts: &http::request::Parts) -> Scope {
    parts.headers.get("x-tenant").map_or_else(Scope::anonymous, Scope::new)
}

#[tokio::test]
async fn scope_tells_one_tenants_keys_from_anothers() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer().scope(by_tenant))).await;
    let of = |tenant: &str| post("/").key(KEY).header("X-Tenant", tenant);
    let [alice, bob] = [of("alice").send(&server).await, of("bob").send(&server).await];
    alice.assert_first(200, "run 1");
    bob.assert_first(200, "run 2");
    of("alice").send(&server).await.assert_replays(&alice);
    of("bob").send(&server).await.assert_replays(&bob);
    // Nor does one tenant learn by a rejection that the other has used the key.
    let mallory = of("mallory").body("something else").send(&server).await;
    mallory.assert_first(200, "run 3");
    assert_eq!(effects.count(), 3);
}

#[tokio::test]
async fn scope_and_key_are_framed_digests_that_nothing_folds_or_collides_in() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer().scope(by_tenant))).await;
    let pairs = [
        ("a", "b:c"),
        ("a:b", "c"),
        ("a", "B:C"),
        ("A", "b:c"),
        ("ab", ":c"),
        ("", "ab:c"),
        ("a", "b:c "),
    ];
    let pairs = pairs.map(|(scope, key)| (scope, key.trim_end()));
    let distinct: HashSet<_> = pairs.into_iter().collect();
    for (scope, key) in &distinct {
        let response = post("/").key(key).header("X-Tenant", scope).send(&server).await;
        assert!(!response.is_replay() && response.status == 200, "scope {scope:?}, key {key:?}");
    }
    assert_eq!(effects.count(), distinct.len());

    let key = tower_idempotency::IdempotencyKey::parse(KEY.as_bytes()).unwrap();
    let scope = Scope::new("alice");
    let raw = |stored: &StorageKey| {
        let stored = stored.as_bytes();
        stored.windows(4).any(|window| KEY.as_bytes().windows(4).any(|part| part == window))
    };
    let [plain, keyed] =
        [None, Some(&[7; 32])].map(|secret| StorageKey::derive(secret, "payments", &scope, &key));
    assert!(!raw(&plain) && !raw(&keyed));
    assert_ne!(plain.as_bytes(), keyed.as_bytes());
}

/// On one thread, whose log is its own.
#[tokio::test]
async fn guarded_methods_log_a_key_on_another_once_per_layer_and_method() {
    let (log, _guard) = Log::warnings();
    let logged = || log.lines("is not guarded").len();
    let effects = Effects::new();
    let guard = layer();
    let server = Server::start(counting(&effects).layer(guard.clone())).await;
    for method in ["PUT", "DELETE", "GET", "HEAD", "OPTIONS", "QUERY"] {
        let before = logged();
        call(method, "/").send(&server).await;
        assert_eq!(logged(), before, "{method} without a key");
        for name in ["X-Idempotency-Key", "Idempotency-Key"] {
            let response = call(method, "/").header(name, "s3cr3t-key").send(&server).await;
            assert_eq!((response.status, response.is_replay()), (200, false));
            assert_eq!(logged(), before + 1, "{method}");
        }
        assert!(log.lines("is not guarded")[before].contains(&format!("method={method}")));
    }
    // A client cannot make the set grow, and a clone knows what the layer has logged.
    let clone = Server::start(counting(&effects).layer(guard.clone().require_key())).await;
    for method in ["BREW", "REPORT", "QUERY", "PUT"] {
        call(method, "/").key(KEY).send(&clone).await;
    }
    assert_eq!(logged(), 6);
    // Each layer has its own, with the header and the methods that it was told.
    let other = layer().methods([Method::PUT]).header(HeaderName::from_static("x-request-key"));
    let server = Server::start(counting(&effects).layer(other)).await;
    call("PUT", "/").header("X-Request-Key", KEY).send(&server).await;
    post("/").key(KEY).send(&server).await;
    assert_eq!(logged(), 6);
    post("/").header("X-Request-Key", KEY).send(&server).await;
    assert_eq!(logged(), 7);
    assert!(log.lines("s3cr3t").is_empty(), "no key is logged");
}

#[cfg(feature = "strict-keys")]
#[tokio::test]
async fn profiles_read_either_header() {
    for guard in [layer().ietf(), layer().stripe()] {
        let effects = Effects::new();
        let server = Server::start(counting(&effects).layer(guard)).await;
        let first = post("/").header("X-Idempotency-Key", "\"order-1001\"").send(&server).await;
        post("/")
            .header("Idempotency-Key", "\"order-1001\"")
            .send(&server)
            .await
            .assert_replays(&first);
        assert_eq!(effects.count(), 1);
    }
}

/// On one thread, whose log is its own.
#[tokio::test]
async fn scope_not_set_is_warned_of_once_at_start() {
    let effects = Effects::new();
    let (log, _guard) = Log::warnings();
    let warnings = || log.lines("no scope is set").len();

    let router = Router::new().nest("/a", counting(&effects)).nest("/b", counting(&effects));
    let router = router.layer(layer());
    assert_eq!(warnings(), 1, "one for all routes");
    let server = Server::start(router).await;
    post("/a").key(KEY).send(&server).await;
    post("/b").key(KEY).body("other").send(&server).await;
    assert_eq!(warnings(), 1, "none for requests");

    let scoped = counting(&effects).layer(layer().scope(by_tenant));
    let server = Server::start(scoped).await;
    post("/").key(KEY).send(&server).await;
    assert_eq!(warnings(), 1, "none where a scope is set");
}

#[tokio::test]
async fn fingerprint_covers_method_path_query_content_type_chosen_headers_and_body() {
    let effects = Effects::new();
    let guard = layer().fingerprint_headers([header::ACCEPT]);
    let server = Server::start(counting(&effects).layer(guard)).await;
    let of = |call: Call, kind: &str, accept: &str, body: &[u8]| {
        call.key(KEY).header("Content-Type", kind).header("Accept", accept).body(body)
    };
    let first = of(post("/p?a=1"), "text/plain", "text/xml", b"body").send(&server).await;
    first.assert_first(200, "run 1");
    let same = of(post("/p?a=1"), "text/plain", "text/xml", b"body");
    same.clone()
        .header("X-Other", "1")
        .header("User-Agent", "two")
        .send(&server)
        .await
        .assert_replays(&first);
    same.chunked().send(&server).await.assert_replays(&first);

    let others = [
        of(patch("/p?a=1"), "text/plain", "text/xml", b"body"),
        of(post("/q?a=1"), "text/plain", "text/xml", b"body"),
        of(post("/p/?a=1"), "text/plain", "text/xml", b"body"),
        of(post("/p?a=2"), "text/plain", "text/xml", b"body"),
        of(post("/p"), "text/plain", "text/xml", b"body"),
        of(post("/p?a=1"), "text/plain;charset=utf-8", "text/xml", b"body"),
        of(post("/p?a=1"), "text/plain", "text/html", b"body"),
        of(post("/p?a=1"), "text/plain", "text/xml", b"bodY"),
        of(post("/p?a=1"), "text/plain", "text/xml", b"body\n"),
        of(post("/p?a=1"), "text/plain", "text/xml", b""),
        post("/p?a=1").key(KEY).header("Accept", "text/xml").body("body"),
    ];
    for other in others {
        let response = other.send(&server).await;
        assert_eq!(rejected(&response, 409, "idempotency_key_reused"), [None, Some("false"), None]);
    }
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn fingerprint_is_never_of_a_partial_body() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    let mut body = vec![b'a'; 1 << 20];
    let first = post("/").key(KEY).body(&body).send(&server).await;
    first.assert_first(200, "run 1");
    for place in [(1 << 20) - 1, 1 << 19, 1 << 16, 0] {
        body[place] = b'b';
        let response = post("/").key(KEY).body(&body).send(&server).await;
        assert_eq!(rejected(&response, 409, "idempotency_key_reused"), [None, Some("false"), None]);
        body[place] = b'a';
    }
    post("/").key(KEY).body(&body).send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn fingerprint_is_of_the_original_path_in_nested_routers() {
    let effects = Effects::new();
    let inner = counting(&effects).layer(layer());
    let router = Router::new().nest("/v1", inner.clone()).nest("/v2", inner);
    let server = Server::start(router).await;
    let first = post("/v1/payments").key(KEY).send(&server).await;
    first.assert_first(200, "run 1");
    post("/v1/payments").key(KEY).send(&server).await.assert_replays(&first);
    let other = post("/v2/payments").key(KEY).send(&server).await;
    assert_eq!(rejected(&other, 409, "idempotency_key_reused"), [None, Some("false"), None]);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn inbound_x_idempotent_result_is_ignored_and_removed() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    let claims = |call: Call| {
        call.header("X-Idempotent-Result", "true").header("x-idempotent-result", "false")
    };
    let first = claims(post("/").key(KEY)).send(&server).await;
    first.assert_first(200, "run 1");
    claims(post("/")).send(&server).await.assert_first(200, "run 2");
    post("/").key(KEY).send(&server).await.assert_replays(&first);
    assert!(effects.heads().iter().all(|head| !head.headers.contains_key("x-idempotent-result")));
    assert_eq!(effects.count(), 2);
}

#[tokio::test]
async fn request_body_is_seen_by_the_handler_as_the_same_bytes_and_type() {
    let effects = Effects::new();
    // The handler takes axum's own request, as it would without the layer.
    let echo = app(&effects, |request: Request| async move {
        to_bytes(request.into_body(), usize::MAX).await.unwrap()
    });
    let server = Server::start(echo.layer(layer())).await;
    let bodies: [Vec<u8>; 4] =
        [vec![], vec![0], (0..=255).collect(), (0..=255).cycle().take(1 << 20).collect()];
    for (index, body) in bodies.iter().enumerate() {
        for (way, call) in
            [("sized", post("/").body(body)), ("chunked", post("/").body(body).chunked())]
        {
            let first = call.key(format!("{way}-{index}")).send(&server).await;
            assert!(first.status == 200 && first.body == *body, "{way} {index}");
        }
    }
    assert_eq!(effects.count(), 8);
}

#[tokio::test]
async fn request_body_over_the_limit_is_413_and_leaves_no_record() {
    let effects = Effects::new();
    let guard = layer().max_request(10);
    let server = Server::start(counting(&effects).layer(guard.clone())).await;
    for too_large in [post("/").body([0; 11]), post("/").body([0; 11]).chunked()] {
        let response = too_large.key(KEY).send(&server).await;
        assert_eq!(rejected(&response, 413, "request_too_large"), [None; 3]);
        assert!(record_of(&guard, KEY).await.is_none());
    }
    assert_eq!(effects.count(), 0);
    post("/").key(KEY).body([0; 10]).send(&server).await.assert_first(200, "run 1");
}

#[tokio::test]
async fn request_body_obeys_axums_default_body_limit() {
    let effects = Effects::new();
    let ledger = effects.clone();
    // The extractor has the limit, and it runs before the ledger is called.
    let length = async move |head: http::request::Parts, body: Bytes| {
        ledger.add(head);
        body.len().to_string()
    };
    let guard = layer();
    let router = Router::new()
        .route("/", routing::post(length))
        .layer(guard.clone())
        .layer(DefaultBodyLimit::max(10));
    let server = Server::start(router).await;
    let response = post("/").key(KEY).body([0; 11]).send(&server).await;
    assert_eq!(response.status, 413, "{response:?}");
    assert_eq!(effects.count(), 0);
    assert!(record_of(&guard, KEY).await.is_none());
    post("/").key(KEY).body([0; 10]).send(&server).await.assert_first(200, "10");
    assert_eq!(effects.count(), 1);
}
