//! Sections 1 and 2 of the contract: what a request may look like, and what it gets.

use serde_json::json;

use super::process::{free_port, local};
use super::site::Site;
use super::wire::{get, pay, post};
use super::{Case, FOR_GOOD, FOR_NOW, assert_replays, cases, rejected};

pub(super) const CASES: &[Case] = cases![
    the_first_response_is_the_services_own,
    a_retry_gets_the_first_response_byte_for_byte,
    a_binary_body_comes_through_and_is_replayed,
    a_response_in_chunks_is_replayed,
    a_replay_has_both_request_ids,
    another_request_under_the_key_is_a_mismatch,
    a_mismatch_is_told_while_the_first_is_in_flight,
    a_duplicate_in_flight_is_told_when_to_ask_again,
    a_missing_key_passes_unless_it_is_required,
    a_key_that_is_not_one_is_rejected,
    a_quoted_key_is_the_same_key,
    a_body_over_the_limit_is_rejected,
    a_caller_without_a_scope_is_rejected,
    two_callers_do_not_share_a_key,
    a_response_that_is_not_stored_is_not_made_again,
    a_client_that_mends_its_request_keeps_its_key,
    a_definitive_rejection_of_the_service_is_replayed,
    a_failure_runs_again_and_is_in_doubt,
    a_failure_is_replayed_or_rejected_if_the_route_says_so,
    a_client_cannot_speak_for_the_gateway,
    other_methods_pass_untouched,
    the_ietf_profile_has_its_own_status,
    an_upstream_that_is_not_there_leaves_no_record,
    a_store_that_is_down_is_said,
];

fn the_first_response_is_the_services_own(site: &Site) {
    let gateway = site.gateway("");
    let first = gateway.send(&pay("first", json!({"set_cookie": true})));
    assert_eq!(first.status, 201);
    let id = first.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(first.header("location"), Some(format!("/payments/{id}").as_str()));
    assert!(first.header("set-cookie").unwrap().starts_with(&format!("session={id}")));
    for absent in ["x-idempotent-result", "x-original-request-id", "retry-after"] {
        assert_eq!(first.header(absent), None, "{absent}");
    }
    assert_eq!(first.told(), (1, None, false));
    assert_eq!(site.effects("first"), [1]);
    let marked = site.gateway("mark_original = true").send(&pay("marked", json!({})));
    assert_eq!((marked.status, marked.header("x-idempotent-result")), (201, Some("false")));
}

fn a_retry_gets_the_first_response_byte_for_byte(site: &Site) {
    let gateway = site.gateway("");
    let links = json!({"headers": {"Link": ["<1>", "<2>"], "X-Other": ["x"]}});
    for (key, sandbox) in [
        ("replay", links),
        ("empty", json!({"status": 204})),
        ("large", json!({"bytes": 60_000})),
        ("cookie", json!({"set_cookie": true})),
        ("slow", json!({"after_ms": 50})),
    ] {
        let call = pay(key, sandbox);
        let first = gateway.send(&call);
        assert!((201..=204).contains(&first.status), "{first:?}");
        for _ in 0..2 {
            assert_replays(&gateway.send(&call), &first);
        }
        assert_eq!(site.effects(key), [1]);
    }
    let first = gateway.send(&pay(
        "replay",
        json!({"headers": {
            "Link": ["<1>", "<2>"], "X-Other": ["x"]
        }}),
    ));
    // Django sends them as one.
    assert_eq!(first.all("link").join(", "), "<1>, <2>");
    let refund = pay("refund", json!({})).to("/payments/7/refunds");
    let first = gateway.send(&refund);
    assert_eq!((first.status, &first.json()["refund_of"]), (201, &json!("7")));
    assert_replays(&gateway.send(&refund), &first);
    assert_eq!(site.effects("refund"), [1]);
}

fn a_binary_body_comes_through_and_is_replayed(site: &Site) {
    let gateway = site.gateway("");
    let bytes: Vec<u8> = (0..=255).cycle().take(5_000).collect();
    let call = post("/echo").header("Content-Type", "application/x-own; a=b");
    for (key, body) in [("binary", bytes), ("nothing", Vec::new())] {
        let call = call.clone().key(key).body(body.clone());
        let first = gateway.send(&call);
        assert_eq!((first.status, &first.body), (200, &body));
        assert_eq!(first.header("content-type"), Some("application/x-own; a=b"));
        assert_replays(&gateway.send(&call), &first);
    }
}

fn a_response_in_chunks_is_replayed(site: &Site) {
    let gateway = site.gateway("");
    let call = pay("chunks", json!({"stream": true}));
    let first = gateway.send(&call);
    assert_eq!((first.status, &first.json()["attempt"]), (201, &json!(1)));
    assert_replays(&gateway.send(&call), &first);
    assert_eq!(site.effects("chunks"), [1]);
}

fn a_replay_has_both_request_ids(site: &Site) {
    let gateway = site.gateway("");
    let call = pay("ids", json!({}));
    let first = gateway.send(&call.clone().header("X-Request-Id", "request-1"));
    for (own, expected) in [(Some("request-2"), "request-2"), (None, "request-1")] {
        let retry = own.map_or(call.clone(), |own| call.clone().header("X-Request-Id", own));
        let replay = gateway.send(&retry);
        assert_replays(&replay, &first);
        assert_eq!(replay.header("x-request-id"), Some(expected));
        assert_eq!(replay.header("x-original-request-id"), Some("request-1"));
    }
}

fn another_request_under_the_key_is_a_mismatch(site: &Site) {
    let gateway = site.gateway("");
    let call = pay("mismatch", json!({}));
    let first = gateway.send(&call);
    for _ in 0..2 {
        let other = gateway.send(&pay("mismatch", json!({"bytes": 1})));
        assert_eq!(rejected(&other, 409, "idempotency_key_reused"), FOR_GOOD);
    }
    assert_replays(&gateway.send(&call), &first);
    assert_eq!(site.effects("mismatch"), [1]);
}

fn a_mismatch_is_told_while_the_first_is_in_flight(site: &Site) {
    let gateway = site.gateway("in_flight = { wait = \"10s\" }");
    let key = "mismatch-in-flight";
    let running = pay(key, json!({"hold": "after"})).begin(gateway.address);
    site.has_arrived(key, 1);
    let other = gateway.send(&pay(key, json!({})));
    assert_eq!(rejected(&other, 409, "idempotency_key_reused"), FOR_GOOD);
    site.open(key);
    assert_eq!(running.answer().unwrap().status, 201);
}

fn a_duplicate_in_flight_is_told_when_to_ask_again(site: &Site) {
    let gateway = site.gateway("");
    let call = pay("in-flight", json!({"hold": "after"}));
    let running = call.begin(gateway.address);
    site.has_arrived("in-flight", 1);
    let retry = gateway.send(&call);
    assert_eq!(rejected(&retry, 409, "idempotency_key_in_flight"), FOR_NOW);
    site.open("in-flight");
    let first = running.answer().unwrap();
    // A replay is there as soon as the client has its first response.
    assert_replays(&gateway.send(&call), &first);

    let gateway = site.gateway("in_flight = { wait = \"20s\" }");
    let call = pay("waiting", json!({"hold": "after"}));
    let running = call.begin(gateway.address);
    site.has_arrived("waiting", 1);
    let retry = call.begin(gateway.address);
    site.open("waiting");
    assert_replays(&retry.answer().unwrap(), &running.answer().unwrap());
    assert_eq!(site.effects("waiting"), [1]);
}

fn a_missing_key_passes_unless_it_is_required(site: &Site) {
    let call = pay("none", json!({"bytes": 1})).without("X-Idempotency-Key");
    let before = site.count();
    let gateway = site.gateway("");
    let [one, other] = [gateway.send(&call), gateway.send(&call)];
    assert_eq!((one.status, other.status, site.count()), (201, 201, before + 2));
    assert_ne!(one.json()["id"], other.json()["id"]);
    let answer = site.gateway("require_key = true").send(&call);
    let [retry_after, _, location] = rejected(&answer, 400, "idempotency_key_missing");
    assert_eq!((retry_after, location, site.count()), (None, None, before + 2));
}

fn a_key_that_is_not_one_is_rejected(site: &Site) {
    let gateway = site.gateway("");
    let call = pay("", json!({})).without("X-Idempotency-Key");
    let long = "k".repeat(256);
    let before = site.count();
    for keys in [
        &[("X-Idempotency-Key", &b""[..])][..],
        &[("X-Idempotency-Key", long.as_bytes())],
        &[("X-Idempotency-Key", b"\xc3\xa9")],
        &[("X-Idempotency-Key", b"a\tb")],
        &[("X-Idempotency-Key", b"a"), ("X-Idempotency-Key", b"a")],
        &[("X-Idempotency-Key", b"a"), ("Idempotency-Key", b"b")],
    ] {
        let call = keys.iter().fold(call.clone(), |call, (name, key)| call.header(name, key));
        let answer = gateway.send(&call);
        let [retry_after, _, _] = rejected(&answer, 400, "idempotency_key_invalid");
        assert_eq!(retry_after, None);
    }
    // Others would read it as the header with `-`.
    let call = call.header("X_Idempotency_Key", "forged");
    assert_eq!(gateway.send(&call).status, 201);
    assert_eq!((site.count(), site.effects("forged").len()), (before + 1, 0));
}

fn a_quoted_key_is_the_same_key(site: &Site) {
    let gateway = site.gateway("");
    let first = gateway.send(&pay("quoted", json!({})));
    let bare = pay("", json!({})).without("X-Idempotency-Key");
    for (name, key) in [("X-Idempotency-Key", "\"quoted\""), ("Idempotency-Key", "quoted")] {
        assert_replays(&gateway.send(&bare.clone().header(name, key)), &first);
    }
    let longest = "k".repeat(255);
    assert_eq!(gateway.send(&pay(&longest, json!({}))).status, 201);
}

fn a_body_over_the_limit_is_rejected(site: &Site) {
    let gateway = site.gateway("");
    let body = |length| post("/echo").key("too-large").body(vec![b'x'; length]);
    let answer = gateway.send(&body((64 << 10) + 1));
    let [retry_after, _, _] = rejected(&answer, 413, "request_too_large");
    assert_eq!(retry_after, None);
    // It left no record.
    assert_eq!(gateway.send(&body(64 << 10)).body.len(), 64 << 10);
}

fn a_caller_without_a_scope_is_rejected(site: &Site) {
    let gateway = site.gateway("");
    let call = pay("no-scope", json!({})).without("Authorization");
    let answer = gateway.send(&call);
    assert_eq!((answer.status, site.arrivals("no-scope").len()), (401, 0), "{answer:?}");
    let everyone = site.gateway("scope = \"everyone\"");
    let first = everyone.send(&call);
    assert_replays(&everyone.send(&call.header("Authorization", "Bearer other")), &first);
}

fn two_callers_do_not_share_a_key(site: &Site) {
    let gateway = site.gateway("");
    let call = pay("shared", json!({}));
    let other = call.clone().without("Authorization").header("Authorization", "Bearer acct_2");
    let first = gateway.send(&call);
    let second = gateway.send(&other);
    assert_ne!(first.json()["id"], second.json()["id"]);
    assert_replays(&gateway.send(&call), &first);
    assert_replays(&gateway.send(&other), &second);
    assert_eq!(site.effects("shared"), [1, 1]);
}

fn a_response_that_is_not_stored_is_not_made_again(site: &Site) {
    let gateway = site.gateway("");
    for (key, sandbox) in [
        ("not-stored", json!({"bytes": 70_000})),
        ("events", json!({"stream": "events"})),
        ("large-chunks", json!({"stream": true, "bytes": 70_000})),
    ] {
        let call = pay(key, sandbox);
        let first = gateway.send(&call);
        assert_eq!((first.status, &first.json()["attempt"]), (201, &json!(1)));
        for _ in 0..2 {
            let retry = gateway.send(&call);
            let location = first.header("location");
            let headers = rejected(&retry, 409, "idempotency_result_not_retained");
            assert_eq!(headers, [None, Some("false"), location]);
            assert_eq!(retry.json()["original_status"], 201);
        }
        assert_eq!(site.effects(key), [1]);
    }
}

fn a_client_that_mends_its_request_keeps_its_key(site: &Site) {
    let gateway = site.gateway("");
    for status in [400, 401, 403, 413, 415, 422, 429] {
        let key = format!("mended-{status}");
        let wrong = gateway.send(&pay(&key, json!({"status": status})));
        assert_eq!((wrong.status, wrong.is_replay()), (status, false));
        let mended = gateway.send(&pay(&key, json!({})));
        assert_eq!((mended.status, mended.told()), (201, (1, None, false)));
        assert_eq!(site.effects(&key), [1]);
    }
}

fn a_definitive_rejection_of_the_service_is_replayed(site: &Site) {
    let gateway = site.gateway("");
    for status in [402, 404, 409, 410] {
        let key = format!("definitive-{status}");
        let call = pay(&key, json!({"status": status}));
        let first = gateway.send(&call);
        assert_eq!(first.status, status);
        assert_replays(&gateway.send(&call), &first);
        assert_eq!(site.arrivals(&key), [1]);
    }
}

fn a_failure_runs_again_and_is_in_doubt(site: &Site) {
    let gateway = site.gateway("");
    for (key, sandbox, status, effects) in [
        ("503", json!({"status": 503}), 503, 0),
        ("error-before", json!({"panic": "before"}), 500, 0),
        ("error-after", json!({"panic": "after"}), 500, 2),
    ] {
        let call = pay(key, sandbox);
        assert_eq!(gateway.send(&call).status, status);
        assert_eq!(gateway.send(&call).status, status);
        assert_eq!(site.arrivals(key), [1, 2]);
        assert_eq!(site.effects(key).len(), effects);
    }
    for (key, failure, previous) in [
        ("told-503", json!({"status": 503, "mended_at": 3}), "failed; status=503"),
        ("told-error", json!({"panic": "after", "mended_at": 3}), "failed; status=500"),
    ] {
        let call = pay(key, failure);
        assert!(gateway.send(&call).status >= 500);
        // The key stays bound to its request.
        let other = gateway.send(&pay(key, json!({})));
        assert_eq!(rejected(&other, 409, "idempotency_key_reused"), FOR_GOOD);
        assert!(gateway.send(&call).status >= 500);
        let mended = gateway.send(&call);
        assert_eq!((mended.status, mended.told()), (201, (3, Some(previous.to_owned()), true)));
        assert_replays(&gateway.send(&call), &mended);
    }
}

fn a_failure_is_replayed_or_rejected_if_the_route_says_so(site: &Site) {
    let gateway = site.gateway("on_failed = \"replay\"");
    let call = pay("failure-replayed", json!({"panic": "after"}));
    let first = gateway.send(&call);
    assert_eq!(first.status, 500);
    let retry = gateway.send(&call);
    assert_eq!((retry.status, retry.is_replay()), (500, true));
    assert_eq!(site.effects("failure-replayed"), [1]);

    let gateway = site.gateway("on_failed = \"reject\"");
    let call = pay("failure-rejected", json!({"panic": "after"}));
    assert_eq!(gateway.send(&call).status, 500);
    let retry = gateway.send(&call);
    assert_eq!(rejected(&retry, 409, "idempotency_attempt_failed"), FOR_GOOD);
    assert_eq!(site.effects("failure-rejected"), [1]);
}

fn a_client_cannot_speak_for_the_gateway(site: &Site) {
    let gateway = site.gateway("");
    let forged = [
        ("X-Idempotency-Attempt", "7"),
        ("X_Idempotency_Attempt", "7"),
        ("X-Idempotency-Previous", "abandoned"),
        ("X-Idempotency-In-Doubt", "true"),
        ("X-Idempotent-Result", "true"),
    ];
    let call = forged
        .iter()
        .fold(pay("forged-attempt", json!({})), |call, (name, value)| call.header(name, value));
    let first = gateway.send(&call);
    assert_eq!((first.told(), first.is_replay()), ((1, None, false), false));
    let unguarded = gateway.send(&call.without("X-Idempotency-Key"));
    assert_eq!(unguarded.told(), (0, None, false));
}

fn other_methods_pass_untouched(site: &Site) {
    let gateway = site.gateway("");
    let call = get("/payments").key("a-read");
    let before = gateway.send(&call);
    gateway.send(&pay("between", json!({})));
    let after = gateway.send(&call);
    assert_eq!((before.status, after.status, after.is_replay()), (200, 200, false));
    let count = |answer: &super::Answer| answer.json()["count"].as_u64().unwrap();
    assert_eq!(count(&after), count(&before) + 1);
}

fn the_ietf_profile_has_its_own_status(site: &Site) {
    let gateway = site.gateway("profile = \"ietf\"");
    let of = |sandbox| {
        let call = pay("", sandbox).without("X-Idempotency-Key");
        call.header("Idempotency-Key", "\"of-the-draft\"")
    };
    let first = gateway.send(&of(json!({})));
    assert_eq!(first.status, 201);
    let other = gateway.send(&of(json!({"bytes": 1})));
    assert_eq!(rejected(&other, 422, "idempotency_key_reused"), FOR_GOOD);
    assert_replays(&gateway.send(&of(json!({}))), &first);
}

fn an_upstream_that_is_not_there_leaves_no_record(site: &Site) {
    let nowhere = site.gateway_before(local(free_port()), "", "on_abandoned = \"reject\"");
    let answer = nowhere.send(&pay("nowhere", json!({"bytes": 1})));
    let [retry_after, _, _] = rejected(&answer, 502, "upstream_unreachable");
    assert_eq!(retry_after, Some("1"));
    // Even another request may have the key.
    let first = site.gateway("").send(&pay("nowhere", json!({})));
    assert_eq!((first.status, first.told()), (201, (1, None, false)));
}

fn a_store_that_is_down_is_said(site: &Site) {
    let gateway = site.gateway("");
    let call = pay("no-store", json!({}));
    site.store.borrow_mut().kill();
    let answer = gateway.send(&call);
    assert_eq!(rejected(&answer, 503, "idempotency_store_unavailable"), FOR_NOW);
    assert_eq!(get("/readyz").send(gateway.operators).status, 503);
    // Requests that are not guarded do not need it.
    assert_eq!(gateway.send(&get("/payments")).status, 200);
    assert_eq!(gateway.send(&call.clone().without("X-Idempotency-Key")).status, 201);
    site.store.borrow_mut().start_again();
    assert_eq!(gateway.settle(&call).told(), (1, None, false));
    assert_eq!(site.effects("no-store"), [1]);
}
