use hyper::StatusCode;
use jsonwebtoken::Algorithm;
use serde_json::json;

use super::authority::{Signer, unsigned};
use super::client::{Client, Response};
use super::program::{Folder, Gateway};
use super::site::{KeySite, Upstream};

pub fn start(folder: Folder, upstream: &Upstream, rules: &str, scope: &str) -> Gateway {
    Gateway::start(folder, &config(upstream, rules, scope))
}

/// A file without `listen`.
pub fn config(upstream: &Upstream, rules: &str, scope: &str) -> String {
    format!(
        r#"
        upstream = "{}"
        store = "memory"
        {rules}
        [[route]]
        path = "/payments"
        scope = {scope}
        "#,
        upstream.url
    )
}

pub const SUB: &str = r#"{ header = "authorization", jwt_claim = "sub" }"#;

pub async fn pay(gateway: &Gateway, key: &str, token: &str) -> Response {
    let value = format!("Bearer {token}");
    Client::plain().pay(&gateway.url, key, &[("authorization", &value)]).await
}

pub fn is_invalid(response: &Response) -> bool {
    response.status == StatusCode::UNAUTHORIZED
        && response.headers["www-authenticate"] == "Bearer error=\"invalid_token\""
        && response.text.contains("idempotency_scope_missing")
}

#[tokio::test]
async fn a_key_belongs_to_the_claim_of_a_valid_token() {
    let (signer, upstream) = (Signer::new("1"), Upstream::start().await);
    let site = KeySite::start(signer.set()).await;
    let rules = format!("[jwt]\njwks = \"{}\"\nissuer = \"https://a\"", site.url());
    let gateway = start(Folder::new(), &upstream, &rules, SUB);
    let number = &[("sub", json!(7)), ("aud", json!("another"))];
    let text = &[("sub", json!("7")), ("nbf", json!(0))];
    let eve = &[("sub", json!("eve"))];
    for (claims, expected) in [(&[][..], "1"), (number, "2"), (&[], "1"), (text, "2"), (eve, "3")] {
        let response = pay(&gateway, "key", &signer.token(claims)).await;
        assert_eq!((response.status, &*response.text), (StatusCode::CREATED, expected));
    }
    assert_eq!(upstream.requests().len(), 3);
    // The service gets the token as before.
    assert!(upstream.requests()[0]["authorization"].to_str().unwrap().starts_with("Bearer "));
}

#[tokio::test]
async fn a_token_that_is_not_valid_is_rejected() {
    let (signer, stranger, upstream) =
        (Signer::new("1"), Signer::new("1"), Upstream::start().await);
    let folder = Folder::new();
    folder.write("jwks.json", &signer.set());
    let rules =
        "[jwt]\njwks = \"jwks.json\"\nissuer = [\"https://a\", \"https://b\"]\naudience = \"shop\"";
    let gateway = start(folder, &upstream, rules, SUB);
    for (name, token) in [
        ("expired", signer.token(&[("exp", json!(1_000_000_000))])),
        ("wrong issuer", signer.token(&[("iss", json!("https://c"))])),
        ("wrong audience", signer.token(&[("aud", json!("till"))])),
        ("without the claim", signer.token(&[("sub", json!(null))])),
        ("of another key", stranger.token(&[])),
        ("of an unknown key", Signer::new("2").token(&[])),
        ("unsigned", unsigned(&[])),
        ("HS256 by the public key", signer.token_with(Algorithm::HS256, &[])),
        ("garbage", "garbage".to_owned()),
    ] {
        let response = pay(&gateway, "key", &token).await;
        assert!(is_invalid(&response), "{name}: {response:?}");
    }
    let client = Client::plain();
    let value = format!("Bearer {}", signer.token(&[]));
    let twice = [("authorization", &*value), ("authorization", &*value)];
    assert!(is_invalid(&client.pay(&gateway.url, "key", &twice).await));
    for headers in [&[][..], &[("authorization", "Basic YTpi")]] {
        let response = client.pay(&gateway.url, "key", headers).await;
        assert_eq!(response.status, StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers["www-authenticate"], "Bearer");
    }
    assert_eq!(upstream.requests().len(), 0);
    assert_eq!(pay(&gateway, "key", &signer.token(&[])).await.text, "1");
}

#[tokio::test]
async fn a_scope_can_have_rules_of_its_own() {
    let (common, own, upstream) = (Signer::new("1"), Signer::new("1"), Upstream::start().await);
    let folder = Folder::new();
    folder.write("common.json", &common.set());
    folder.write("own.json", &own.set());
    let scope =
        r#"{ header = "x-token", jwt_claim = "tenant", jwks = "own.json", audience = "till" }"#;
    let gateway = start(folder, &upstream, "jwt = { jwks = \"common.json\" }", scope);
    let claims = [("tenant", json!("a")), ("aud", json!(["till"]))];
    let client = Client::plain();
    for (token, expected) in [
        (own.token(&claims), StatusCode::CREATED),
        (common.token(&claims), StatusCode::UNAUTHORIZED),
        (own.token(&claims[..1]), StatusCode::UNAUTHORIZED),
    ] {
        let response = client.pay(&gateway.url, "key", &[("x-token", &token)]).await;
        assert_eq!(response.status, expected, "{response:?}");
    }
}

#[tokio::test]
async fn an_unverified_token_is_believed_with_a_warning() {
    let upstream = Upstream::start().await;
    let scope = r#"{ header = "authorization", unverified_jwt_claim = "sub" }"#;
    let gateway = start(Folder::new(), &upstream, "", scope);
    gateway.wait_for_log("tokens are not verified", 1);
    for (sub, expected) in [("ana", "1"), ("ben", "2"), ("ana", "1")] {
        let token = unsigned(&[("sub", json!(sub))]);
        assert_eq!(pay(&gateway, "key", &token).await.text, expected);
    }
    assert!(is_invalid(&pay(&gateway, "key", "garbage").await));
}
