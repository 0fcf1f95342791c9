#![allow(clippy::unwrap_used)]

use super::*;
use crate::http::rejection::samples;

/// The table that the SDK for TypeScript reads too.
const TABLE: &str = include_str!("../../../tests/vectors/dispositions.json");

/// One combination of a row.
#[derive(Debug)]
#[allow(dead_code)] // `what` is printed.
struct Case {
    what: String,
    status: u16,
    headers: HeaderMap,
    body: Option<String>,
    is_redirected: bool,
    is_in_doubt: bool,
    profile: Profile,
    is: Disposition,
}

fn texts(value: &Value) -> Vec<Option<String>> {
    match value {
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        value => vec![value.as_str().map(str::to_owned)],
    }
}

/// Every combination of the lists of a row.
fn cases_of(row: &Value) -> Vec<Case> {
    let headers = row["headers"].as_object().into_iter().flatten();
    let headers = headers
        .map(|(name, value)| (name.parse().unwrap(), value.as_str().unwrap().parse().unwrap()));
    let headers: HeaderMap = headers.collect();
    let doubts = match row["before"].as_str().unwrap() {
        "any" => vec![false, true],
        "clear" => vec![false],
        "doubt" => vec![true],
        other => panic!("{other}"),
    };
    let mut cases = Vec::new();
    for status in row["status"].as_array().unwrap() {
        for code in texts(&row["code"]) {
            for is_in_doubt in doubts.clone() {
                let mut headers = headers.clone();
                let body = code.as_ref().map(|code| {
                    headers.insert("content-type", "application/problem+json".parse().unwrap());
                    format!(r#"{{"code":"{code}"}}"#)
                });
                let other = match row.get("body") {
                    None => Some(String::new()),
                    Some(body) => body.as_str().map(str::to_owned),
                };
                cases.push(Case {
                    what: row["what"].as_str().unwrap().to_owned(),
                    status: u16::try_from(status.as_u64().unwrap()).unwrap(),
                    headers,
                    body: body.or(other),
                    is_redirected: row["redirected"].as_bool().unwrap_or(false),
                    is_in_doubt,
                    profile: match row["profile"].as_str() {
                        None | Some("default") => Profile::Default,
                        Some("ietf") => Profile::Ietf,
                        Some("stripe") => Profile::Stripe,
                        Some(other) => panic!("{other}"),
                    },
                    is: match row["is"].as_str().unwrap() {
                        "final" => Final,
                        "retry" => Retry,
                        "unknown" => Unknown,
                        other => panic!("{other}"),
                    },
                });
            }
        }
    }
    cases
}

fn judged(case: &Case) -> Disposition {
    let reply = Reply::new(case.status, &case.headers).redirected(case.is_redirected);
    let reply = reply.in_doubt(case.is_in_doubt).profile(case.profile);
    case.body.as_ref().map_or(reply, |body| reply.body(body.as_bytes())).disposition()
}

#[test]
fn every_row_of_the_table_has_its_disposition() {
    let table: Value = serde_json::from_str(TABLE).unwrap();
    let cases: Vec<_> = table["rows"].as_array().unwrap().iter().flat_map(cases_of).collect();
    assert!(cases.len() > 400, "{}", cases.len());
    let wrong: Vec<_> = cases.iter().filter(|case| judged(case) != case.is).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The table of rejections decides about each response of the layer.
#[test]
fn every_rejection_is_judged_as_its_row_says() {
    for rejection in samples() {
        let (code, expected) = (rejection.code(), rejection.spec().told.client);
        let is_known = code.starts_with("idempotency_");
        let mut response = rejection.render();
        rejection.finish(&mut response);
        let profiles = [Profile::Default, Profile::Ietf, Profile::Stripe];
        for profile in
            profiles.into_iter().filter(|profile| is_known || *profile == Profile::Default)
        {
            for is_in_doubt in [false, true] {
                let reply = Reply::new(response.status(), response.headers()).body(response.body());
                let judged = reply.in_doubt(is_in_doubt).profile(profile).disposition();
                assert_eq!(
                    format!("{judged:?}").to_lowercase(),
                    expected,
                    "{code} under {profile:?}, in doubt: {is_in_doubt}; the row is in src/http/rejection/kinds.rs"
                );
            }
        }
    }
}

#[test]
fn an_attempt_begins_doubt_unless_it_was_final_or_had_no_effect() {
    let begins = |status: u16, is_redirected| {
        let headers = HeaderMap::new();
        Reply::new(status, &headers).body(b"").redirected(is_redirected).begins_doubt()
    };
    for status in [0, 408, 500, 501, 502, 503, 504, 520, 599] {
        assert!(begins(status, false), "{status}");
    }
    for status in [200, 201, 303, 307, 400, 401, 403, 404, 421, 422, 425, 429, 431, 511] {
        assert!(!begins(status, false), "{status}");
        assert!(begins(status, true), "{status}");
    }
    // A conflict may be another attempt of the same operation.
    let headers: HeaderMap = [(header::RETRY_AFTER, "1".parse().unwrap())].into_iter().collect();
    assert!(Reply::new(409_u16, &headers).body(b"").begins_doubt());
}

#[test]
fn a_problem_document_counts_up_to_64_kib() {
    let headers: HeaderMap =
        [(header::CONTENT_TYPE, "application/problem+json".parse().unwrap())].into_iter().collect();
    let padded = |length: usize| {
        let text = r#"{"code":"idempotency_key_in_flight","detail":""}"#;
        text.replace(r#""}"#, &format!(r#"{}"}}"#, "x".repeat(length - text.len())))
    };
    let judged = |body: &str| Reply::new(409_u16, &headers).body(body.as_bytes()).disposition();
    assert_eq!(judged(&padded(64 << 10)), Retry);
    assert_eq!(judged(&padded((64 << 10) + 1)), Unknown);
}

#[test]
fn a_key_is_not_understood_only_where_a_rejection_says_so() {
    let headers: HeaderMap =
        [(header::CONTENT_TYPE, "application/problem+json".parse().unwrap())].into_iter().collect();
    let rejects = |status: u16, code: &str| {
        let body = format!(r#"{{"code":"{code}"}}"#);
        Reply::new(status, &headers).body(body.as_bytes()).rejects_key()
    };
    for code in ["idempotency_key_missing", "idempotency_key_invalid"] {
        assert!(rejects(400, code) && rejects(422, code), "{code}");
        assert!(!rejects(200, code) && !rejects(429, code) && !rejects(503, code), "{code}");
    }
    assert!(!rejects(400, "idempotency_key_reused"));
    assert!(!rejects(400, "amount_missing"));
}
