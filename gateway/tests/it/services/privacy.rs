//! What a client sends is not found in what the gateway writes.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::site::{Gateway, Site};
use super::wire::{Call, pay};
use super::{Case, cases};

pub(super) const CASES: &[Case] = cases![requests_leave_no_trace, sealed_responses_leave_no_trace];

/// Each is somewhere in a request.
const MARKERS: [&str; 5] = [
    "marker-of-a-key",
    "marker-of-a-token",
    "marker-of-a-body",
    "marker-of-a-query",
    "marker-of-a-cookie",
];

/// This one is in the response too.
const ECHOED: &str = "marker-of-a-response";

/// The label of the records, which is always there.
const LABEL: &str = "/payments/{*rest}";

fn call(number: usize, sandbox: Value) -> Call {
    let call = pay(&format!("marker-of-a-key-{number}"), json!({})).without("Authorization");
    call.header("Authorization", "Bearer marker-of-a-token")
        .header("Cookie", "session=marker-of-a-cookie")
        .to("/payments?card=marker-of-a-query")
        .json(&json!({
            "amount": 1, "currency": "EUR", "to": ECHOED, "secret": "marker-of-a-body",
            "sandbox": sandbox,
        }))
}

/// Goes through every kind of response, and a failure of every part. No rejection says what the
/// client has sent.
fn act(site: &Site, gateway: &Gateway) {
    let send = |call: &Call| {
        let answer = gateway.send(call);
        if answer.header("content-type") == Some("application/problem+json") {
            let document = String::from_utf8_lossy(&answer.body);
            assert!(!document.contains("marker"), "{document}");
        }
    };
    let sandboxes = [
        json!({}),
        json!({"set_cookie": true}),
        json!({"status": 402}),
        json!({"status": 422}),
        json!({"status": 503}),
        json!({"panic": "after"}),
        json!({"bytes": 70_000}),
        json!({"stream": "events"}),
    ];
    for (number, sandbox) in sandboxes.into_iter().enumerate() {
        send(&call(number, sandbox.clone()));
        send(&call(number, sandbox));
        send(&call(number, json!({"bytes": 1})));
    }
    send(&call(90, json!({})).key("marker-of-a-key"));
    send(&call(91, json!({})).without("X-Idempotency-Key").key("marker-of-a-key \x01"));
    send(&call(92, json!({})).body("marker-of-a-body".repeat(9_000)));
    send(&call(93, json!({})).without("Content-Type").body("marker-of-a-body {"));
    call(94, json!({"exit": "after"})).begin(gateway.address).answer();
    site.start_upstream_again();
    call(95, json!({"exit": "during", "stream": true})).begin(gateway.address).answer();
    site.start_upstream_again();
    site.kill_upstream();
    send(&call(96, json!({})));
    site.start_upstream_again();
    let running = call(97, json!({"delay_ms": 200})).begin(gateway.address);
    running.hang_up();
    site.store.borrow_mut().kill();
    send(&call(98, json!({})));
    site.store.borrow_mut().start_again();
    assert_eq!(gateway.settle(&call(98, json!({}))).status, 201);
}

/// Panics if a marker is in the logs, the metrics or the store, or if `stored` is not in the store.
fn assert_unseen(site: &Site, gateway: &Gateway, markers: &[&str], stored: &str) {
    let files = site.store.borrow().files();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let read = |file: &PathBuf| Some((file.display().to_string(), text(std::fs::read(file).ok()?)));
    let mut places: Vec<_> = files.iter().filter_map(read).collect();
    assert!(places.iter().any(|(_, text)| has(text, stored)), "the store has no {stored}");
    places.push(("the log".to_owned(), gateway.log()));
    places.push(("the metrics".to_owned(), gateway.metrics()));
    for (name, text) in &places {
        for marker in markers {
            assert!(!has(text, marker), "{name} has {marker}");
        }
    }
}

/// PostgreSQL writes the bytes of a record as digits into its log.
fn has(places: &str, text: &str) -> bool {
    let digits: Vec<_> = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    places.contains(text) || places.contains(&digits.concat())
}

fn requests_leave_no_trace(site: &Site) {
    site.renew_store();
    let gateway = site.gateway("");
    act(site, &gateway);
    assert_unseen(site, &gateway, &MARKERS, ECHOED);
}

fn sealed_responses_leave_no_trace(site: &Site) {
    site.renew_store();
    let key = format!("encryption_keys = [\"{}\"]", "0a".repeat(32));
    let gateway = site.gateway_with(&key, "");
    act(site, &gateway);
    let replay = gateway.send(&call(0, json!({})));
    assert_eq!((replay.is_replay(), &replay.json()["to"]), (true, &json!(ECHOED)));
    assert_unseen(site, &gateway, &[&MARKERS[..], &[ECHOED]].concat(), LABEL);
}
