#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::{Builder, Parts};
use http::{HeaderName, Request};

use super::CanonicalBody;
use crate::record::fingerprint::{Fingerprint, Fingerprinting, Input, JsonPointer};

const JSON: &str = "application/json";

fn head(content_type: &str) -> Parts {
    built(Request::post("/payments?dry=1").header(CONTENT_TYPE, content_type))
}

fn built(request: Builder) -> Parts {
    request.body(()).unwrap().into_parts().0
}

fn under(rule: &CanonicalBody, head: &Parts, body: &str) -> Fingerprint {
    let fingerprinting =
        Fingerprinting { rule: Some(rule.clone().into()), ..Fingerprinting::default() };
    fingerprinting.of(&Input::new(head, body.as_bytes())).own
}

fn version(rule: &CanonicalBody, content_type: &str, body: &str) -> u8 {
    under(rule, &head(content_type), body).to_bytes()[0]
}

#[test]
fn the_kind_of_body_follows_from_its_media_type() {
    let rows = [
        (JSON, "{}", 3),
        ("Application/JSON ; charset=utf-8", "{}", 3),
        ("application/vnd.api+json", "{}", 3),
        ("application/x-www-form-urlencoded", "a=1", 4),
        ("multipart/form-data; boundary=x", "--x--", 5),
        ("application/json, application/json", "{}", 1),
        ("application/jsonx", "{}", 1),
        ("text/json", "{}", 1),
        ("text/plain", "a=1", 1),
        ("json", "{}", 1),
        ("", "{}", 1),
    ];
    for (content_type, body, expected) in rows {
        assert_eq!(version(&CanonicalBody::any(), content_type, body), expected, "{content_type}");
    }
    assert_eq!(version(&CanonicalBody::form(), JSON, "{}"), 1);
    assert_eq!(version(&CanonicalBody::json(), "application/x-www-form-urlencoded", "a=1"), 1);
    assert_eq!(version(&CanonicalBody::json(), "multipart/form-data; boundary=x", "--x--"), 1);
}

#[test]
fn raw_bytes_count_where_there_is_no_canonical_form() {
    let head = head(JSON);
    for body in ["{", "{\"a\":1,\"a\":1}", "[9007199254740993]", "\u{feff}{}"] {
        let raw = Fingerprint::of_request(
            &head.method,
            "/payments?dry=1",
            &head.headers,
            &[],
            body.as_bytes(),
        );
        assert_eq!(under(&CanonicalBody::json(), &head, body), raw, "{body}");
    }
    let twice = built(Request::post("/").header(CONTENT_TYPE, JSON).header(CONTENT_TYPE, JSON));
    let encoded =
        built(Request::post("/").header(CONTENT_TYPE, JSON).header(CONTENT_ENCODING, "identity"));
    for head in [twice, encoded] {
        assert_eq!(under(&CanonicalBody::json(), &head, "{}").to_bytes()[0], 1);
    }
}

#[test]
fn everything_but_the_spelling_counts() {
    let rule = CanonicalBody::any();
    let to = |method: &str, path: &str, content_type: &str| {
        built(Request::builder().method(method).uri(path).header(CONTENT_TYPE, content_type))
    };
    let plain = to("POST", "/a?b=1", JSON);
    let one = under(&rule, &plain, "{\"a\":1,\"b\":[]}");
    assert_eq!(under(&rule, &plain, " {\"b\":[], \"\\u0061\":1.0}"), one);
    assert_eq!(
        under(&rule, &to("POST", "/a?b=1", "Application/json;charset=UTF-8"), "{\"a\":1,\"b\":[]}"),
        one
    );
    assert_eq!(
        under(&CanonicalBody::json(), &plain, "{\"a\":1,\"b\":[]}"),
        one,
        "the kind is the same"
    );

    let others = [
        (to("PATCH", "/a?b=1", JSON), "{\"a\":1,\"b\":[]}"),
        (to("POST", "/b?b=1", JSON), "{\"a\":1,\"b\":[]}"),
        (to("POST", "/a?b=2", JSON), "{\"a\":1,\"b\":[]}"),
        (to("POST", "/a?b=1", "application/problem+json"), "{\"a\":1,\"b\":[]}"),
        (to("POST", "/a?b=1", JSON), "{\"a\":2,\"b\":[]}"),
        (to("POST", "/a?b=1", "application/x-www-form-urlencoded"), "{\"a\":1,\"b\":[]}"),
    ];
    let all: HashSet<_> =
        others.iter().map(|(head, body)| under(&rule, head, body).to_bytes()).collect();
    assert_eq!(all.len(), others.len());
    assert!(!all.contains(&one.to_bytes()));
}

#[test]
fn chosen_headers_count_beside_the_body() {
    let of = |accept: &'static str| {
        let headers = vec![HeaderName::from_static("accept")];
        let rule = Some(CanonicalBody::json().into());
        let head = built(Request::post("/").header(CONTENT_TYPE, JSON).header("accept", accept));
        Fingerprinting { headers, rule, ..Fingerprinting::default() }
            .of(&Input::new(&head, b"{}"))
            .own
    };
    assert_eq!(of("text/plain"), of("text/plain"));
    assert_ne!(of("text/plain"), of("text/html"));
}

#[test]
fn no_two_settings_make_the_same_fingerprint() {
    let [a, b] = ["/a", "/b"].map(JsonPointer::from_static);
    let settings = [
        CanonicalBody::json(),
        CanonicalBody::json().ignore(a.clone()),
        CanonicalBody::json().ignore(a.clone()).ignore(b.clone()),
        CanonicalBody::json().only([a.clone()]),
        CanonicalBody::json().only([a.clone(), b.clone()]),
        CanonicalBody::json().only([]),
        CanonicalBody::json().only([a.clone()]).ignore(b.clone()),
        CanonicalBody::json().only([JsonPointer::from_static("")]),
    ];
    // The bodies themselves are equal.
    let made: HashSet<_> =
        settings.iter().map(|rule| under(rule, &head(JSON), "{}").to_bytes()).collect();
    assert_eq!(made.len(), settings.len());
    let turned = CanonicalBody::json().ignore(b).ignore(a);
    assert_eq!(under(&turned, &head(JSON), "{}"), under(&settings[2], &head(JSON), "{}"));
}

/// Records contain fingerprints. If this test fails, an upgrade rejects every honest retry. Such a
/// change needs new versions of the rules.
#[test]
fn the_rules_are_as_they_were_in_their_first_version() {
    let rule = CanonicalBody::any().ignore(JsonPointer::from_static("/nonce"));
    let rows = [
        (JSON, "{\"b\":1e0,\"a\":\"\\u00e9\",\"nonce\":1}"),
        ("application/x-www-form-urlencoded", "b=1&a=%C3%A9&nonce=1"),
        (
            "multipart/form-data; boundary=x",
            "--x\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n1\r\n--x--",
        ),
    ];
    let made = rows.map(|(content_type, body)| {
        let [version, digest @ ..] = under(&rule, &head(content_type), body).to_bytes();
        format!("{version} {}", blake3::Hash::from_bytes(digest).to_hex())
    });
    assert_eq!(
        made,
        [
            "3 354593265b6a1868769ecd92caabd537b3e365dfd12e57615015c8ba631cf347",
            "4 1c790c3e242c2bc5a7dc3618329be974ebb6a171c7a73f9b51d245ce815e2a35",
            "5 98ab143661a5cd644fa2a7086968ab3eac57a3e498896a4d97f627145e6e337f",
        ]
    );
}

#[test]
fn a_parameter_of_the_content_type_counts_unless_it_only_says_how_the_body_is_written() {
    let rule = CanonicalBody::any();
    let of = |content_type: &str, body: &str| under(&rule, &head(content_type), body);
    let plain = of(JSON, "{}");
    for same in [
        "application/json; charset=utf-8",
        "application/json ;CHARSET=\"UTF-8\"",
        "application/json;",
        "application/json;; charset=utf-8",
    ] {
        assert_eq!(of(same, "{}"), plain, "{same}");
    }
    let others = [
        "application/json; v=1",
        "application/json; v=2",
        "application/json; v=\"2; charset=utf-8\"",
        "application/json; v=\"2\\\"; charset=utf-8\"",
        "application/json; v=\"2\"; profile=x",
        "application/json; charset=utf-16",
    ];
    let distinct: HashSet<_> = others.iter().map(|other| of(other, "{}").to_bytes()).collect();
    assert_eq!(distinct.len(), others.len());
    assert!(!distinct.contains(&plain.to_bytes()));

    let form =
        |charset: &str| of(&format!("application/x-www-form-urlencoded{charset}"), "to=%C3%A9");
    assert_eq!(form("; charset=utf-8"), form(""));
    assert_ne!(form("; charset=iso-8859-1"), form(""));
    let parts = |boundary: &str, rest: &str| {
        of(&format!("multipart/form-data; boundary={boundary}{rest}"), "--x--")
    };
    assert_eq!(parts("x", ""), parts("\"x\"", ""));
    assert_ne!(parts("x", "; v=2"), parts("x", ""));
}
