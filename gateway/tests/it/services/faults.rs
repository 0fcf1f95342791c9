//! What a retry sees after the end of a part in mid-request.

use serde_json::{Value, json};

use super::process::until;
use super::site::{Gateway, Site};
use super::wire::{Answer, Call, pay};
use super::{Case, FOR_GOOD, FOR_NOW, assert_replays, cases, rejected};

pub(super) const CASES: &[Case] = cases![
    the_gateway_is_killed_before_the_effect,
    the_gateway_is_killed_after_the_effect,
    the_lease_of_a_gateway_that_was_killed_is_respected,
    the_upstream_is_killed_before_the_effect,
    the_upstream_is_killed_after_the_effect,
    the_upstream_ends_by_itself,
    the_upstream_ends_in_the_middle_of_its_response,
    the_store_is_killed_before_the_effect,
    the_store_is_killed_after_the_effect,
    a_response_is_stored_when_the_store_is_there_again,
    the_store_and_the_gateway_are_killed,
    a_client_that_hangs_up_gets_its_response_later,
    a_service_slower_than_the_lease_keeps_its_key,
    a_replay_needs_no_upstream,
    a_gateway_that_starts_again_knows_what_was_done,
];

const RERUN: &str = "on_abandoned = \"rerun\"";
const REJECT: &str = "on_abandoned = \"reject\"";

/// When a payment is held: before its effect or after it.
const BEFORE: &str = "before";
const AFTER: &str = "after";

/// A key with the name of a case.
fn key(case: &str) -> String {
    case.replace(|character: char| !character.is_ascii_alphanumeric(), "-")
}

/// A payment that is held.
fn held(key: &str, moment: &str) -> Call {
    pay(key, json!({"hold": moment}))
}

/// Waits for the moment in which a payment is held.
fn reached(site: &Site, key: &str, moment: &str) {
    if moment == BEFORE {
        site.has_arrived(key, 1);
        assert_eq!(site.effects(key), [0; 0]);
    } else {
        site.has_effect(key, 1);
    }
}

/// What a retry sees whose operation was abandoned: it runs in doubt, or it is rejected for good.
fn assert_abandoned(
    (site, gateway): (&Site, &Gateway),
    settings: &str,
    (call, key): (&Call, &str),
    attempt: u64,
) {
    let before = site.effects(key).len();
    let answer = gateway.settle(call);
    if settings == REJECT {
        assert_eq!(rejected(&answer, 409, "idempotency_outcome_unknown"), FOR_GOOD);
        let again = gateway.send(call);
        assert_eq!(rejected(&again, 409, "idempotency_outcome_unknown"), FOR_GOOD);
        assert_eq!(site.effects(key).len(), before);
    } else {
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.told(), (attempt, Some("abandoned".to_owned()), true));
        assert_eq!(site.effects(key).len(), before + 1);
        assert_replays(&gateway.send(call), &answer);
    }
}

fn the_gateway_is_killed(site: &Site, moment: &str) {
    for settings in [RERUN, REJECT] {
        let key = key(&format!("gateway killed, {moment}, {settings}"));
        let mut killed = site.gateway(settings);
        let other = site.gateway(settings);
        let call = held(&key, moment);
        let running = call.begin(killed.address);
        reached(site, &key, moment);
        killed.kill();
        assert_eq!(running.answer(), None);
        // The service does not notice.
        site.open(&key);
        site.has_effect(&key, 1);
        assert_abandoned((site, &other), settings, (&call, &key), 2);
    }
}

fn the_lease_of_a_gateway_that_was_killed_is_respected(site: &Site) {
    let key = "gateway-killed-early";
    let mut killed = site.gateway("lease = \"1h\"");
    let other = site.gateway("lease = \"1h\"");
    let call = held(key, AFTER);
    let running = call.begin(killed.address);
    reached(site, key, AFTER);
    killed.kill();
    assert_eq!(running.answer(), None);
    let retry = other.send(&call);
    rejected(&retry, 409, "idempotency_key_in_flight");
    site.open(key);
    assert_eq!(site.effects(key), [1]);
}

fn the_gateway_is_killed_before_the_effect(site: &Site) {
    the_gateway_is_killed(site, BEFORE);
}

fn the_gateway_is_killed_after_the_effect(site: &Site) {
    the_gateway_is_killed(site, AFTER);
}

fn the_upstream_is_killed(site: &Site, moment: &str) {
    for settings in [RERUN, REJECT] {
        let key = key(&format!("upstream killed, {moment}, {settings}"));
        let gateway = site.gateway(settings);
        let call = held(&key, moment);
        let running = call.begin(gateway.address);
        reached(site, &key, moment);
        site.kill_upstream();
        site.open(&key);
        let answer = running.answer().unwrap();
        let [retry_after, _, _] = rejected(&answer, 502, "upstream_no_response");
        assert_eq!(retry_after, Some("1"));
        assert_eq!(site.effects(&key).len(), usize::from(moment == AFTER));
        let attempt = if settings == RERUN {
            // Nothing is sent, so the operation stays as it is. The attempt counts.
            let unreachable = gateway.send(&call);
            assert_eq!(rejected(&unreachable, 502, "upstream_unreachable"), FOR_NOW);
            3
        } else {
            2
        };
        site.start_upstream_again();
        assert_abandoned((site, &gateway), settings, (&call, &key), attempt);
    }
}

fn the_upstream_is_killed_before_the_effect(site: &Site) {
    the_upstream_is_killed(site, BEFORE);
}

fn the_upstream_is_killed_after_the_effect(site: &Site) {
    the_upstream_is_killed(site, AFTER);
}

/// Runs into the end of the service, and starts it again.
fn ended(site: &Site, gateway: &Gateway, key: &str, sandbox: Value) -> Option<Answer> {
    let answer = pay(key, sandbox).begin(gateway.address).answer();
    site.start_upstream_again();
    answer
}

fn the_upstream_ends_by_itself(site: &Site) {
    for (moment, effects) in [("before", 0), ("after", 1)] {
        for settings in [RERUN, REJECT] {
            let key = key(&format!("upstream ends, {moment}, {settings}"));
            let gateway = site.gateway(settings);
            let sandbox = json!({"exit": moment, "mended_at": 2});
            let answer = ended(site, &gateway, &key, sandbox.clone()).unwrap();
            rejected(&answer, 502, "upstream_no_response");
            assert_eq!(site.effects(&key).len(), effects);
            let other = gateway.send(&pay(&key, json!({})));
            assert_eq!(rejected(&other, 409, "idempotency_key_reused"), FOR_GOOD);
            let call = pay(&key, sandbox);
            assert_abandoned((site, &gateway), settings, (&call, &key), 2);
        }
    }
}

fn the_upstream_ends_in_the_middle_of_its_response(site: &Site) {
    for stream in [json!(true), json!("events")] {
        let key = key(&format!("upstream ends during {stream}"));
        let gateway = site.gateway(REJECT);
        let sandbox = json!({"exit": "during", "stream": stream, "mended_at": 2});
        let answer = ended(site, &gateway, &key, sandbox.clone());
        // The client sees that it is not whole.
        assert!(answer.is_none_or(|answer| !answer.is_complete || answer.status == 502));
        let retry = gateway.settle(&pay(&key, sandbox));
        let code = if stream == "events" {
            "idempotency_result_not_retained"
        } else {
            "idempotency_outcome_unknown"
        };
        rejected(&retry, 409, code);
        assert_eq!(site.effects(&key), [1]);
    }
}

/// A duplicate is rejected while the store is down, and the response that came meanwhile is stored.
fn the_store_is_killed(site: &Site, moment: &str) {
    let key = key(&format!("store killed, {moment}"));
    let gateway = site.gateway(REJECT);
    let call = held(&key, moment);
    let running = call.begin(gateway.address);
    reached(site, &key, moment);
    site.store.borrow_mut().kill();
    let early = gateway.send(&call);
    assert_eq!(rejected(&early, 503, "idempotency_store_unavailable"), FOR_NOW);
    site.store.borrow_mut().start_again();
    site.open(&key);
    let first = running.answer().unwrap();
    assert_eq!(first.status, 201, "{first:?}");
    let retry = gateway.settle(&call);
    assert_replays(&retry, &first);
    assert_eq!(site.effects(&key), [1]);
}

fn the_store_is_killed_before_the_effect(site: &Site) {
    the_store_is_killed(site, BEFORE);
}

fn the_store_is_killed_after_the_effect(site: &Site) {
    the_store_is_killed(site, AFTER);
}

fn a_response_is_stored_when_the_store_is_there_again(site: &Site) {
    let key = "stored-later";
    let gateway = site.gateway(RERUN);
    let call = held(key, BEFORE);
    let running = call.begin(gateway.address);
    reached(site, key, BEFORE);
    site.store.borrow_mut().kill();
    site.open(key);
    // The client has its response before the store is there again.
    let first = running.answer().unwrap();
    assert_eq!(first.status, 201, "{first:?}");
    site.store.borrow_mut().start_again();
    until("the response is stored", || {
        gateway.log().contains("response stored after retry").then_some(())
    });
    assert_replays(&site.gateway(RERUN).send(&call), &first);
    assert_eq!(site.effects(key), [1]);
}

fn the_store_and_the_gateway_are_killed(site: &Site) {
    for settings in [RERUN, REJECT] {
        let key = key(&format!("store and gateway killed, {settings}"));
        let mut gateway = site.gateway(settings);
        let call = held(&key, BEFORE);
        let running = call.begin(gateway.address);
        reached(site, &key, BEFORE);
        site.store.borrow_mut().kill();
        site.open(&key);
        // Only the client has the response.
        let first = running.answer().unwrap();
        assert_eq!(first.status, 201, "{first:?}");
        gateway.kill();
        site.store.borrow_mut().start_again();
        let other = site.gateway(settings);
        assert_abandoned((site, &other), settings, (&call, &key), 2);
    }
}

fn a_client_that_hangs_up_gets_its_response_later(site: &Site) {
    for moment in [BEFORE, AFTER] {
        let key = key(&format!("hung up, {moment}"));
        let gateway = site.gateway(REJECT);
        let call = held(&key, moment);
        let running = call.begin(gateway.address);
        reached(site, &key, moment);
        running.hang_up();
        let early = gateway.send(&call);
        assert_eq!(rejected(&early, 409, "idempotency_key_in_flight"), FOR_NOW);
        site.open(&key);
        let retry = gateway.settle(&call);
        assert!(retry.is_replay(), "{retry:?}");
        assert_eq!((retry.status, retry.told()), (201, (1, None, false)));
        assert_eq!(site.effects(&key), [1]);
    }
}

fn a_service_slower_than_the_lease_keeps_its_key(site: &Site) {
    let gateways = [site.gateway(RERUN), site.gateway(RERUN)];
    let key = "slower-than-the-lease";
    let call = pay(key, json!({"after_ms": 2_500}));
    let running = call.begin(gateways[0].address);
    site.has_effect(key, 1);
    let first = std::thread::scope(|scope| {
        let first = scope.spawn(|| running.answer().unwrap());
        // Another gateway asks all the time, and long after the first lease too.
        let retry = gateways[1].settle(&call);
        let first = first.join().unwrap();
        assert_replays(&retry, &first);
        first
    });
    assert_eq!((first.status, site.effects(key)), (201, vec![1]));
}

fn a_replay_needs_no_upstream(site: &Site) {
    let gateway = site.gateway("");
    let call = pay("upstream-gone", json!({}));
    let first = gateway.send(&call);
    site.kill_upstream();
    assert_replays(&gateway.send(&call), &first);
    site.start_upstream_again();
    assert_replays(&gateway.send(&call), &first);
}

fn a_gateway_that_starts_again_knows_what_was_done(site: &Site) {
    let call = pay("gateway-restarted", json!({}));
    let mut gateway = site.gateway("");
    let first = gateway.send(&call);
    gateway.kill();
    site.store.borrow_mut().kill();
    site.store.borrow_mut().start_again();
    assert_replays(&site.gateway("").send(&call), &first);
    assert_eq!(site.effects("gateway-restarted"), [1]);
}
