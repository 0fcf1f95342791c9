//! What makes two requests under one key the same.

use std::slice::from_ref;

use serde_json::json;

use super::site::Site;
use super::wire::{Call, pay};
use super::{Case, FOR_GOOD, assert_replays, cases, rejected};

pub(super) const CASES: &[Case] = cases![
    each_part_of_a_request_counts,
    what_is_not_a_part_does_not_count,
    canonical_json_has_one_form,
    what_is_ignored_does_not_count,
    chosen_headers_count,
];

/// Sends the first call, and asserts whether each other one is the same or a mismatch.
fn compare(site: &Site, settings: &str, first: &Call, same: &[Call], others: &[Call]) {
    let gateway = site.gateway(settings);
    let answer = gateway.send(first);
    assert_eq!(answer.status, 201, "{answer:?}");
    for call in same {
        let retry = gateway.send(call);
        assert!(retry.is_replay(), "{call:?}: {retry:?}");
        assert_replays(&retry, &answer);
    }
    for call in others {
        let other = gateway.send(call);
        assert_eq!(rejected(&other, 409, "idempotency_key_reused"), FOR_GOOD, "{call:?}");
    }
}

fn each_part_of_a_request_counts(site: &Site) {
    let call = pay("parts", json!({}));
    let others = [
        call.clone().to("/payments/7/refunds"),
        call.clone().to("/payments?a=1"),
        call.clone().to("/payments?"),
        call.clone().to("/payments/"),
        call.clone().to("/echo"),
        call.clone().without("Content-Type").header("Content-Type", "text/plain"),
        call.clone().without("Content-Type"),
        pay("parts", json!({"bytes": 0})),
        call.clone().body(""),
    ];
    compare(site, "", &call, from_ref(&call), &others);
    assert_eq!(site.arrivals("parts"), [1]);

    let with_query = pay("query", json!({})).to("/payments?a=1&b=2");
    let other = with_query.clone().to("/payments?b=2&a=1");
    compare(site, "", &with_query, from_ref(&with_query), &[other]);
}

fn what_is_not_a_part_does_not_count(site: &Site) {
    let call = pay("no-parts", json!({}));
    let same = [
        call.clone().header("User-Agent", "another"),
        call.clone().header("X-Forwarded-For", "192.0.2.1"),
        call.clone().header("Accept-Encoding", "gzip"),
        call.clone().header("Cookie", "session=1"),
    ];
    compare(site, "", &call, &same, &[]);
}

fn canonical_json_has_one_form(site: &Site) {
    let call = pay("canonical", json!({}));
    let json = call.clone().body(r#"{"amount":1200,"to":"acct_2","currency":"EUR"}"#);
    let same = [
        json.clone().body(r#"{"to":"acct_2","amount":1200,"currency":"EUR"}"#),
        json.clone()
            .body("{ \"to\": \"acct_\\u0032\",\n \"amount\": 1200, \"currency\": \"EUR\" }"),
    ];
    let others = [
        json.clone().body(r#"{"amount":1201,"to":"acct_2","currency":"EUR"}"#),
        json.clone().body(r#"{"amount":"1200","to":"acct_2","currency":"EUR"}"#),
        json.clone().body(r#"{"amount":1200,"to":"acct_2","currency":"EUR","more":null}"#),
    ];
    compare(site, "canonical_json = true", &json, &same, &others);
    assert_eq!(site.arrivals("canonical"), [1]);
    // Without the setting the bytes count.
    let raw = json.clone().without("X-Idempotency-Key").key("raw");
    let other = raw.clone().body(r#"{"to":"acct_2","amount":1200,"currency":"EUR"}"#);
    compare(site, "", &raw, from_ref(&raw), &[other]);
}

fn what_is_ignored_does_not_count(site: &Site) {
    let body = |amount: u64, at: &str| {
        let body = json!({"amount": amount, "currency": "EUR", "to": "a", "sent": {"at": at}});
        pay("ignored", json!({})).json(&body)
    };
    let (first, same, other) = (body(1, "today"), body(1, "tomorrow"), body(2, "today"));
    compare(site, "ignore = [\"/sent/at\"]", &first, &[same], &[other]);
}

fn chosen_headers_count(site: &Site) {
    let of = |version| pay("version", json!({})).header("X-Version", version);
    let settings = "fingerprint_headers = [\"x-version\"]";
    compare(site, settings, &of("1"), &[of("1")], &[of("2"), pay("version", json!({}))]);
}
