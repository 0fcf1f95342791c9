#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, PublicKeyData};
use serde_json::json;

use super::*;

/// A token that `openssl dgst` has signed, which expired in 2001.
const RSA: &str = include_str!("tests/rsa.json");

struct Issuer(KeyPair);

impl Issuer {
    fn new() -> Self {
        signatures::install();
        Self(KeyPair::generate().unwrap())
    }

    fn jwk(&self, id: &str) -> Value {
        let point = self.0.der_bytes();
        let [x, y] = [&point[1..33], &point[33..]].map(|part| URL_SAFE_NO_PAD.encode(part));
        json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": x, "y": y })
    }

    fn sign(&self, id: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = id.map(str::to_owned);
        let key = EncodingKey::from_ec_der(&self.0.serialize_der());
        jsonwebtoken::encode(&header, claims, &key).unwrap()
    }
}

fn set(keys: &[Value]) -> Keys {
    signatures::install();
    let text = json!({ "keys": keys }).to_string();
    Keys::File(Arc::new(KeySet::parse(text.as_bytes()).unwrap()))
}

fn token(keys: Keys, jwt: &str) -> Token {
    let jwt = toml::from_str(jwt).unwrap();
    Token {
        header: AUTHORIZATION,
        claim: "sub".to_owned(),
        rules: Some(Rules::new(keys, jwt, &Jwt::default())),
    }
}

fn authorized(values: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
    }
    headers
}

async fn caller(token: &Token, text: &str) -> Result<Scope, Lack> {
    token.caller(&authorized(&[format!("Bearer {text}")])).await
}

fn in_seconds(seconds: i64) -> i64 {
    i64::try_from(jsonwebtoken::get_current_timestamp()).unwrap() + seconds
}

fn claims(changes: &[(&str, Value)]) -> Value {
    let mut claims =
        json!({ "sub": "ana", "iss": "https://a", "aud": "shop", "exp": in_seconds(600) });
    for (name, value) in changes {
        claims[*name] = value.clone();
    }
    claims
}

#[tokio::test]
async fn a_valid_token_names_the_caller() {
    let issuer = Issuer::new();
    let token = token(set(&[issuer.jwk("1")]), "issuer = \"https://a\"\naudience = \"shop\"");
    for (changes, caller_is) in [
        (vec![], "ana"),
        (vec![("sub", json!(42))], "42"),
        (vec![("sub", json!("42"))], "42"),
        (vec![("aud", json!(["other", "shop"]))], "ana"),
        (vec![("exp", json!(in_seconds(-30)))], "ana"),
        (vec![("nbf", json!(in_seconds(30)))], "ana"),
    ] {
        for id in [Some("1"), None] {
            let text = issuer.sign(id, &claims(&changes));
            assert_eq!(caller(&token, &text).await, Ok(Scope::new(caller_is)), "{changes:?}");
        }
    }
}

#[tokio::test]
async fn a_token_with_a_wrong_claim_is_invalid() {
    let issuer = Issuer::new();
    let token = token(set(&[issuer.jwk("1")]), "issuer = \"https://a\"\naudience = \"shop\"");
    for (name, value) in [
        ("exp", json!(in_seconds(-90))),
        ("exp", json!("never")),
        ("exp", Value::Null),
        ("nbf", json!(in_seconds(90))),
        ("nbf", json!("now")),
        ("iss", json!("https://b")),
        ("iss", Value::Null),
        ("aud", json!("till")),
        ("aud", json!([])),
        ("aud", Value::Null),
        ("sub", json!("")),
        ("sub", json!(1.5)),
        ("sub", json!(["ana"])),
        ("sub", json!(true)),
        ("sub", Value::Null),
    ] {
        let text = issuer.sign(Some("1"), &claims(&[(name, value.clone())]));
        assert_eq!(caller(&token, &text).await, Err(Lack::Invalid), "{name}: {value}");
    }
}

/// A token whose signature the test makes.
fn by_hand(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> String) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let message = format!("{header}.{claims}");
    let signature = sign(message.as_bytes());
    format!("{message}.{signature}")
}

fn with_secret(secret: &[u8]) -> impl FnOnce(&[u8]) -> String {
    signatures::install();
    let key = EncodingKey::from_secret(secret).unwrap();
    move |message| jsonwebtoken::crypto::sign(message, &key, Algorithm::HS256).unwrap()
}

#[tokio::test]
async fn a_token_that_no_key_has_signed_is_invalid() {
    let (issuer, stranger) = (Issuer::new(), Issuer::new());
    let jwk = issuer.jwk("1");
    let token = token(set(std::slice::from_ref(&jwk)), "");
    let valid = issuer.sign(Some("1"), &claims(&[]));
    assert!(caller(&token, &valid).await.is_ok());

    let header = |algorithm: &str| json!({ "alg": algorithm, "kid": "1" });
    let [head, rest] = valid.split_once('.').map(<[_; 2]>::from).unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let other_claims = URL_SAFE_NO_PAD.encode(claims(&[("sub", json!("eve"))]).to_string());
    let none = |name: &str| by_hand(&header(name), &claims(&[]), |_| String::new());
    let hs256 = |secret: &[u8]| by_hand(&header("HS256"), &claims(&[]), with_secret(secret));
    for (name, text) in [
        ("another key under the same name", stranger.sign(Some("1"), &claims(&[]))),
        ("another key without a name", stranger.sign(None, &claims(&[]))),
        ("an unknown name", issuer.sign(Some("2"), &claims(&[]))),
        ("other claims", format!("{head}.{other_claims}.{signature}")),
        ("a key of its own", {
            let header = json!({ "alg": "ES256", "kid": "1", "jwk": stranger.jwk("1") });
            let key = EncodingKey::from_ec_der(&stranger.0.serialize_der());
            by_hand(&header, &claims(&[]), |message| {
                jsonwebtoken::crypto::sign(message, &key, Algorithm::ES256).unwrap()
            })
        }),
        ("no signature", format!("{head}.{}.", rest.split_once('.').unwrap().0)),
        ("none", none("none")),
        ("None", none("None")),
        ("HS256 by the point", hs256(issuer.0.der_bytes())),
        ("HS256 by the DER", hs256(&issuer.0.subject_public_key_info())),
        ("HS256 by the PEM", hs256(issuer.0.public_key_pem().as_bytes())),
        ("HS256 by the JWK", hs256(jwk.to_string().as_bytes())),
        (
            "an algorithm of another key",
            by_hand(&header("EdDSA"), &claims(&[]), |_| signature.to_owned()),
        ),
        (
            "a zero signature",
            format!("{head}.{rest}").replace(signature, &URL_SAFE_NO_PAD.encode([0; 64])),
        ),
        (
            "a critical extension",
            by_hand(
                &json!({ "alg": "ES256", "kid": "1", "crit": ["a"], "a": 1 }),
                &claims(&[]),
                |message| {
                    let key = EncodingKey::from_ec_der(&issuer.0.serialize_der());
                    jsonwebtoken::crypto::sign(message, &key, Algorithm::ES256).unwrap()
                },
            ),
        ),
        ("one part more", format!("{valid}.{signature}")),
        ("one part", head.to_owned()),
        ("nothing", String::new()),
    ] {
        assert_eq!(caller(&token, &text).await, Err(Lack::Invalid), "{name}");
    }
}

#[test]
fn rsa_signatures_are_verified() {
    let fixture: Value = serde_json::from_str(RSA).unwrap();
    let Keys::File(keys) = set(&[fixture["key"].clone()]) else { panic!("not a file") };
    let token = token(Keys::File(Arc::clone(&keys)), "");
    let rules = token.rules.unwrap();
    for name in ["RS256", "PS256"] {
        let text = fixture[name].as_str().unwrap();
        let header = jsonwebtoken::decode_header(text).unwrap();
        // The signature is looked at first, and then the time.
        let error = rules.by(&keys, text.as_bytes(), &header).unwrap().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::ExpiredSignature, "{name}");
        let wrong = text.replacen(".eyJz", ".eyJ0", 1);
        let error = rules.by(&keys, wrong.as_bytes(), &header).unwrap().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::InvalidSignature, "{name}");
    }
}

#[tokio::test]
async fn a_request_has_one_token() {
    let issuer = Issuer::new();
    let token = token(set(&[issuer.jwk("1")]), "");
    let text = issuer.sign(Some("1"), &claims(&[]));
    let ana = Ok(Scope::new("ana"));
    for (values, expected) in [
        (vec![], Err(Lack::Unnamed)),
        (vec![format!("Bearer {text}")], ana.clone()),
        (vec![format!("bEARER  {text} ")], ana),
        (vec![format!("Basic {text}")], Err(Lack::Unnamed)),
        (vec![text.clone()], Err(Lack::Unnamed)),
        (vec![format!("Bearer {text}"), format!("Bearer {text}")], Err(Lack::Invalid)),
        (vec![format!("Bearer {text}"), "Basic YTpi".to_owned()], Err(Lack::Invalid)),
        (vec![format!("Bearer {text}, Bearer {text}")], Err(Lack::Invalid)),
    ] {
        assert_eq!(token.caller(&authorized(&values)).await, expected, "{values:?}");
    }
    let token = Token { header: HeaderName::from_static("x-token"), ..token };
    let mut headers = HeaderMap::new();
    headers.insert("x-token", HeaderValue::from_str(&text).unwrap());
    assert!(token.caller(&headers).await.is_ok());
}

#[tokio::test]
async fn the_same_claim_of_two_issuers_is_two_callers() {
    let issuer = Issuer::new();
    let token = token(set(&[issuer.jwk("1")]), "issuer = [\"a\", \"ab\"]");
    let mut scopes = Vec::new();
    for (iss, sub) in [("a", "bc"), ("ab", "c"), ("a", "c")] {
        let text = issuer.sign(Some("1"), &claims(&[("iss", json!(iss)), ("sub", json!(sub))]));
        let scope = caller(&token, &text).await.unwrap();
        assert!(!scopes.contains(&scope), "{iss} {sub}");
        scopes.push(scope);
    }
    let text = issuer.sign(Some("1"), &claims(&[("iss", json!(["a", "b"]))]));
    assert_eq!(caller(&token, &text).await, Err(Lack::Invalid));
}

#[tokio::test]
async fn an_unverified_token_only_needs_the_claim() {
    let token = Token { header: AUTHORIZATION, claim: "sub".to_owned(), rules: None };
    let text = by_hand(&json!({ "alg": "none" }), &json!({ "sub": "ana" }), |_| String::new());
    assert_eq!(caller(&token, &text).await, Ok(Scope::new("ana")));
    for wrong in ["", "a.b.c", "e30.e30.", "e30.W10."] {
        assert_eq!(caller(&token, wrong).await, Err(Lack::Invalid), "{wrong}");
    }
}
