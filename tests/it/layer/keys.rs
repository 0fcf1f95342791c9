//! The values that are keys, the places where they may be, and that others never pass silently.

use http::HeaderName;

use crate::support::{Call, Effects, Server, call, counting, layer, patch, post};

#[tokio::test]
async fn either_header_carries_the_key() {
    for name in ["X-Idempotency-Key", "Idempotency-Key", "IDEMPOTENCY-KEY"] {
        let effects = Effects::new();
        let server = Server::start(counting(&effects).layer(layer())).await;
        let call = post("/").header(name, "order-1001");

        let first = call.send(&server).await;
        first.assert_first(200, "run 1");
        call.send(&server).await.assert_replays(&first);
        assert_eq!(effects.count(), 1, "{name}");
    }
}

#[tokio::test]
async fn the_two_headers_mean_the_same_key_and_may_both_be_sent() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;

    let first = post("/").key("order-1001").send(&server).await;
    let by_other_name = post("/").header("Idempotency-Key", "order-1001").send(&server).await;
    let by_both = post("/").key("order-1001").header("Idempotency-Key", "\"order-1001\"");

    by_other_name.assert_replays(&first);
    by_both.send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_bare_and_a_quoted_value_are_one_key() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;

    let first = post("/").key("order-1001").send(&server).await;
    post("/").key("\"order-1001\"").send(&server).await.assert_replays(&first);
    let escaped = post("/").key(r#""a\"b\\c""#).send(&server).await;
    post("/").key(r#"a"b\c"#).send(&server).await.assert_replays(&escaped);
    assert_eq!(effects.count(), 2);
}

#[tokio::test]
async fn keys_are_not_folded_trimmed_or_cut() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    let long = "k".repeat(254);

    for key in
        ["order-a", "Order-A", "ORDER-A", "order-a-", &format!("{long}1"), &format!("{long}2")]
    {
        let response = post("/").key(key).send(&server).await;
        assert_eq!((response.status, response.is_replay()), (200, false), "{key}");
    }
    assert_eq!(effects.count(), 6);
}

#[tokio::test]
async fn a_key_of_255_bytes_is_taken_and_one_of_256_is_rejected() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    let (longest, too_long) = ("k".repeat(255), "k".repeat(256));

    let first = post("/").key(&longest).send(&server).await;
    first.assert_first(200, "run 1");
    // The quotes do not count.
    post("/").key(format!("\"{longest}\"")).send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);

    for value in [too_long.clone(), format!("\"{too_long}\""), "k".repeat(4000)] {
        let response = post("/").key(value).send(&server).await;
        response.assert_rejected(400, "idempotency_key_invalid");
    }
    assert_eq!(effects.count(), 1);
}

/// Sends each call twice and asserts that it is rejected both times and that nothing runs.
async fn assert_none_runs(calls: &[Call]) {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    for call in calls {
        for _ in 0..2 {
            call.send(&server).await.assert_rejected(400, "idempotency_key_invalid");
        }
    }
    assert_eq!(effects.count(), 0);
}

#[tokio::test]
async fn what_is_not_a_key_is_rejected_and_nothing_runs() {
    let values: [&[u8]; 14] = [
        b"",
        b"   ",
        b"\"\"",
        b"\"",
        b"\"order-1001",
        b"\"order\"1001\"",
        b"\"order\\1001\"",
        b"\"order-1001\\\"",
        b"\"order-1001\";a=1",
        b"order 1001",
        b"\" order-1001\"",
        b"order\t1001",
        "bestellung-ü".as_bytes(),
        b"order-\xff\xfe",
    ];
    for name in ["X-Idempotency-Key", "Idempotency-Key"] {
        assert_none_runs(&values.map(|value| post("/").header(name, value).body("body"))).await;
    }
}

#[tokio::test]
async fn control_bytes_are_rejected_and_nothing_runs() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    for byte in (0..=0x1f_u8).chain([0x7f]) {
        // A line feed ends the line, and with a carriage return it would be another, valid,
        // request.
        if byte == b'\n' {
            continue;
        }
        let response =
            post("/").key([b"order-".as_slice(), &[byte], b"1001"].concat()).send(&server).await;
        assert_eq!(response.status, 400, "byte {byte:#x}: {response:?}");
    }
    assert_eq!(effects.count(), 0);
}

#[tokio::test]
async fn a_header_that_is_sent_twice_is_rejected_and_nothing_runs() {
    let twice =
        |name: &str, second: &str| post("/").header(name, "order-1001").header(name, second);
    assert_none_runs(&[
        twice("X-Idempotency-Key", "order-1001"),
        twice("X-Idempotency-Key", "order-1002"),
        twice("X-Idempotency-Key", ""),
        twice("Idempotency-Key", "order-1001"),
        twice("Idempotency-Key", "order-1002"),
        twice("Idempotency-Key", "order-1001").key("order-1001"),
        // As a proxy folds two lines into one.
        post("/").key("order-1001, order-1001"),
    ])
    .await;
}

#[tokio::test]
async fn two_headers_that_disagree_are_rejected_and_nothing_runs() {
    assert_none_runs(&[
        post("/").key("order-1001").header("Idempotency-Key", "order-1002"),
        post("/").key("order-1001").header("Idempotency-Key", "ORDER-1001"),
        post("/").key("order-1001").header("Idempotency-Key", ""),
        post("/").key("").header("Idempotency-Key", "order-1001"),
        patch("/").key("order-1001").header("Idempotency-Key", "bestellung-ü"),
    ])
    .await;
}

#[tokio::test]
async fn a_key_in_the_query_or_in_a_cookie_is_not_a_key() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer())).await;
    let places = [
        post(
            "/?idempotency_key=order-1001&X-Idempotency-Key=order-1001&Idempotency-Key=order-1001",
        ),
        post("/").header("Cookie", "X-Idempotency-Key=order-1001; Idempotency-Key=order-1001"),
        post("/order-1001").header("X-Request-Id", "order-1001"),
    ];
    for call in &places {
        for _ in 0..2 {
            assert!(!call.send(&server).await.is_replay());
        }
    }
    assert_eq!(effects.count(), 6);
}

#[tokio::test]
async fn the_header_can_be_chosen_and_then_is_the_only_one() {
    let effects = Effects::new();
    let layer = layer().header(HeaderName::from_static("x-request-key"));
    let server = Server::start(counting(&effects).layer(layer)).await;

    let first = post("/").header("X-Request-Key", "order-1001").send(&server).await;
    post("/").header("X-Request-Key", "order-1001").send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);

    for name in ["X-Idempotency-Key", "Idempotency-Key"] {
        assert!(!post("/").header(name, "order-1001").send(&server).await.is_replay());
    }
    assert_eq!(effects.count(), 3);
}

#[tokio::test]
async fn a_key_may_be_required() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer().require_key())).await;

    for method in ["POST", "PATCH"] {
        call(method, "/").send(&server).await.assert_rejected(400, "idempotency_key_missing");
    }
    assert_eq!(effects.count(), 0);
    call("GET", "/").send(&server).await.assert_first(200, "run 1");
    post("/").key("order-1001").send(&server).await.assert_first(200, "run 2");
}

#[cfg(feature = "strict-keys")]
#[tokio::test]
async fn strict_mode_takes_strings_only() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer().strict_keys())).await;

    let first = post("/").key("\"order-1001\"").send(&server).await;
    first.assert_first(200, "run 1");
    post("/").key("\"order-1001\"").send(&server).await.assert_replays(&first);
    for value in
        ["order-1001", "1001", ":b3JkZXI=:", "?1", "\"order-1001", "\"\"", "\"a\", \"b\"", ""]
    {
        let response = post("/").key(value).send(&server).await;
        response.assert_rejected(400, "idempotency_key_invalid");
    }
    assert_eq!(effects.count(), 1);
}

#[cfg(feature = "strict-keys")]
#[tokio::test]
async fn strict_mode_takes_every_string_of_1_to_255_characters_spaces_included() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer().strict_keys())).await;
    let spaces = " ".repeat(255);
    for (index, key) in ["foo bar", " ", " foo  bar ", &spaces].into_iter().enumerate() {
        let call = post("/").key(format!("\"{key}\""));
        let first = call.send(&server).await;
        first.assert_first(200, &format!("run {}", index + 1));
        call.send(&server).await.assert_replays(&first);
        let seen =
            effects.heads()[index].extensions.get::<tower_idempotency::Attempt>().cloned().unwrap();
        assert_eq!(seen.key().as_str(), key);
    }
    let too_long = post("/").key(format!("\"{}\"", " ".repeat(256))).send(&server).await;
    too_long.assert_rejected(400, "idempotency_key_invalid");
    post("/").key("foo bar").send(&server).await.assert_rejected(400, "idempotency_key_invalid");
    assert_eq!(effects.count(), 4);
}
