//! Every kind of bad input gets its response, and the ledger shows that nothing ran.

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::server::{Sandbox, SandboxResponse, order};

/// Pays with the key headers given, in place of one good key.
async fn pay_with(sandbox: &Sandbox, keys: &[(&str, &[u8])]) -> SandboxResponse {
    let mut head = sandbox.json("/payments");
    for (name, value) in keys {
        head = head.header(*name, HeaderValue::from_bytes(value).unwrap());
    }
    sandbox.send(head, order().to_string()).await
}

#[tokio::test]
async fn a_value_that_is_not_a_key_is_rejected() {
    let sandbox = Sandbox::start(&[]).await;
    let too_long = [b'k'; 256];
    let values: [&[u8]; 12] = [
        b"",
        b"\"\"",
        &too_long,
        b"two words",
        b"a\tb",
        "schl\u{fc}ssel".as_bytes(),
        b"\xff",
        b"\"open",
        b"\"a\"b\"",
        b"\"a\\b\"",
        b"\"two words\"",
        b"\"",
    ];
    for name in ["x-idempotency-key", "idempotency-key"] {
        for value in values {
            let response = pay_with(&sandbox, &[(name, value)]).await;
            response.rejected(400, "idempotency_key_invalid");
        }
    }
    assert!(sandbox.effects().await.is_empty());
}

#[tokio::test]
async fn a_key_sent_twice_or_two_different_keys_are_rejected() {
    let sandbox = Sandbox::start(&[]).await;
    let pairs: [[(&str, &[u8]); 2]; 4] = [
        [("x-idempotency-key", b"a"), ("x-idempotency-key", b"a")],
        [("x-idempotency-key", b"a"), ("x-idempotency-key", b"b")],
        [("idempotency-key", b"a"), ("idempotency-key", b"a")],
        [("x-idempotency-key", b"a"), ("idempotency-key", b"b")],
    ];
    for pair in pairs {
        pay_with(&sandbox, &pair).await.rejected(400, "idempotency_key_invalid");
    }
    assert!(sandbox.effects().await.is_empty());
}

#[tokio::test]
async fn a_control_byte_in_the_key_is_rejected_before_the_handler() {
    let sandbox = Sandbox::start(&[]).await;
    for byte in [0x00, 0x01, 0x1f, 0x7f] {
        let body = order().to_string();
        let mut request =
            b"POST /payments HTTP/1.1\r\nhost: sandbox\r\nx-idempotency-key: a".to_vec();
        request.push(byte);
        request.extend_from_slice(b"b\r\ncontent-type: application/json\r\nconnection: close\r\n");
        request
            .extend_from_slice(format!("content-length: {}\r\n\r\n{body}", body.len()).as_bytes());
        let mut socket = TcpStream::connect(sandbox.address()).await.unwrap();
        socket.write_all(&request).await.unwrap();
        let mut response = Vec::new();
        socket.read_to_end(&mut response).await.unwrap();
        assert!(response.starts_with(b"HTTP/1.1 400 "), "{byte:#x}: {}", response.escape_ascii());
    }
    assert!(sandbox.effects().await.is_empty());
}

#[tokio::test]
async fn the_two_names_and_the_two_spellings_are_one_key() {
    let sandbox = Sandbox::start(&[]).await;
    assert_eq!(pay_with(&sandbox, &[("x-idempotency-key", b"k")]).await.status, 201);
    let same: [&[(&str, &[u8])]; 4] = [
        &[("x-idempotency-key", b"\"k\"")],
        &[("idempotency-key", b"k")],
        &[("idempotency-key", b"\"k\"")],
        &[("x-idempotency-key", b"k"), ("idempotency-key", b"\"k\"")],
    ];
    for keys in same {
        assert!(pay_with(&sandbox, keys).await.is_replay(), "{keys:?}");
    }
    assert!(
        !pay_with(&sandbox, &[("x-idempotency-key", b"K")]).await.is_replay(),
        "keys are not folded"
    );
    assert_eq!(sandbox.effects().await.len(), 2);
}

#[tokio::test]
async fn the_longest_key_is_still_a_key() {
    let sandbox = Sandbox::start(&[]).await;
    let key = [b'k'; 255];
    assert_eq!(pay_with(&sandbox, &[("x-idempotency-key", &key)]).await.status, 201);
    let quoted = [b"\"".as_slice(), &key, b"\""].concat();
    assert!(pay_with(&sandbox, &[("idempotency-key", &quoted)]).await.is_replay());
}

#[tokio::test]
async fn a_missing_key_is_rejected_where_one_is_required() {
    let sandbox = Sandbox::start(&["--require-key"]).await;
    pay_with(&sandbox, &[]).await.rejected(400, "idempotency_key_missing");
    // A key comes from the header and from nowhere else.
    let elsewhere = sandbox
        .json("/payments?x-idempotency-key=k&idempotency_key=k")
        .header("cookie", "x-idempotency-key=k; idempotency-key=k");
    sandbox.send(elsewhere, order().to_string()).await.rejected(400, "idempotency_key_missing");
    assert!(sandbox.effects().await.is_empty());
    assert_eq!(sandbox.get("/payments").await.status, 200);
    assert_eq!(sandbox.pay("k", &order()).await.status, 201);
}

#[tokio::test]
async fn a_body_over_the_limit_is_rejected_and_leaves_the_key_free() {
    let sandbox = Sandbox::start(&["--max-request", "300"]).await;
    let head = || sandbox.json("/payments").header("x-idempotency-key", "k");
    let large = format!("{:<301}", order().to_string());
    sandbox.send(head(), large.clone()).await.rejected(413, "request_too_large");
    // Its length is not announced.
    let chunked = Full::new(Bytes::from(large.clone())).map_frame(|frame| frame);
    sandbox.send(head(), Body::new(chunked)).await.rejected(413, "request_too_large");
    // Unguarded, it meets the limit of the handler.
    assert_eq!(sandbox.send(sandbox.json("/payments"), large).await.status, 413);
    assert!(sandbox.effects().await.is_empty());

    let fits = format!("{:<300}", order().to_string());
    assert_eq!(sandbox.send(head(), fits).await.status, 201);
}

#[tokio::test]
async fn a_body_above_the_default_limit_of_axum_is_taken_if_the_flag_allows() {
    let sandbox = Sandbox::start(&["--max-request", "4MiB", "--max-response", "4MiB"]).await;
    let body = vec![7; 3 << 20];
    for replay in [false, true] {
        let head = sandbox.request("POST", "/echo").header("x-idempotency-key", "k");
        let response = sandbox.send(head, body.clone()).await;
        assert_eq!(response.status, 200);
        assert!(response.body == body);
        assert_eq!(response.is_replay(), replay);
    }
}

#[tokio::test]
async fn a_body_that_is_not_an_order_is_rejected_and_may_be_corrected_under_the_same_key() {
    let sandbox = Sandbox::start(&[]).await;
    let bad = [
        (r#"{"amount":1200,"#, 400),
        ("", 400),
        (r#"{"amount":1200,"currency":"EUR"}"#, 422),
        (r#"{"amount":"1200","currency":"EUR","to":"acct_2"}"#, 422),
        (r#"{"amount":-1,"currency":"EUR","to":"acct_2"}"#, 422),
        (r#"{"amount":0,"currency":"EUR","to":"acct_2"}"#, 422),
        (r#"{"amount":1200,"currency":"euro","to":"acct_2"}"#, 422),
        (r#"{"amount":1200,"currency":"EUR","to":""}"#, 422),
    ];
    for (body, status) in bad {
        let head = sandbox.json("/payments").header("x-idempotency-key", "k");
        assert_eq!(sandbox.send(head, body).await.status, status, "{body}");
    }
    let untyped = sandbox.request("POST", "/payments").header("x-idempotency-key", "k");
    assert_eq!(sandbox.send(untyped, order().to_string()).await.status, 415);
    assert!(sandbox.effects().await.is_empty());

    let mended = sandbox.pay("k", &order()).await;
    assert_eq!(mended.status, 201);
    assert_eq!(mended.json()["attempt"], 1);
}

#[tokio::test]
async fn whatever_makes_it_another_request_is_rejected_under_the_same_key() {
    let sandbox = Sandbox::start(&[]).await;
    assert_eq!(sandbox.pay("k", &order()).await.status, 201);
    let body = order().to_string();
    let keyed = |path: &str| sandbox.json(path).header("x-idempotency-key", "k");
    let typed = |content_type: &str| {
        let head = sandbox.request("POST", "/payments").header("x-idempotency-key", "k");
        head.header("content-type", content_type.to_owned())
    };
    let others = [
        (keyed("/payments"), body.replace("1200", "1201")),
        (keyed("/payments"), format!("{body} ")),
        (keyed("/payments"), String::new()),
        (keyed("/payments?dry_run=1"), body.clone()),
        (keyed("/payments?"), body.clone()),
        (keyed("/echo"), body.clone()),
        (keyed("/payments/pay_1/refunds"), body.clone()),
        (typed("application/json; charset=utf-8"), body),
    ];
    for (head, body) in others {
        sandbox.send(head, body).await.rejected_for_good("idempotency_key_reused");
    }
    assert_eq!(sandbox.effects().await.len(), 1);
}

#[tokio::test]
async fn the_marker_of_a_replay_means_nothing_in_a_request() {
    let sandbox = Sandbox::start(&[]).await;
    let head = sandbox.json("/payments").header("x-idempotency-key", "k");
    let response =
        sandbox.send(head.header("x-idempotent-result", "true"), order().to_string()).await;
    assert_eq!(response.status, 201);
    assert!(!response.is_replay());
    assert_eq!(sandbox.effects().await.len(), 1);
}

#[tokio::test]
async fn no_rejection_contains_the_key() {
    let sandbox = Sandbox::start(&[]).await;
    let key = "a-very-secret-key";
    assert_eq!(sandbox.pay(key, &order()).await.status, 201);
    let mut other = order();
    other["amount"] = 1.into();
    let reused = sandbox.pay(key, &other).await;
    reused.rejected_for_good("idempotency_key_reused");
    let invalid = sandbox.pay(&format!("{key} {key}"), &order()).await;
    invalid.rejected(400, "idempotency_key_invalid");
    for response in [reused, invalid] {
        let said = format!("{response:?}");
        assert!(!said.contains(key), "{said}");
    }
}

#[tokio::test]
async fn a_request_with_another_method_passes_through() {
    let sandbox = Sandbox::start(&["--require-key"]).await;
    for (method, status) in [("GET", 200), ("HEAD", 200), ("OPTIONS", 405), ("PUT", 405)] {
        let head = sandbox.request(method, "/payments").header("x-idempotency-key", "not a key");
        assert_eq!(sandbox.send(head, Body::empty()).await.status, status, "{method}");
    }
}
