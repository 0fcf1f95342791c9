//! One execution among any number of concurrent duplicates.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::process::until;
use super::site::Site;
use super::wire::{Answer, Call, pay};
use super::{Case, FOR_NOW, assert_replays, cases, rejected};

pub(super) const CASES: &[Case] = cases![
    one_of_fifty_duplicates_runs,
    one_of_fifty_duplicates_on_two_gateways_runs,
    all_of_fifty_that_wait_get_one_response,
    fifty_that_wait_on_two_gateways_get_one_response,
    one_of_fifty_runs_again_after_a_failure,
    other_keys_run_side_by_side,
];

const DUPLICATES: usize = 50;
const WAIT: &str = "in_flight = { wait = \"20s\" }";

/// Sends these calls at once, in turn to these gateways. `meanwhile` can see how many of them have
/// their responses.
fn at_once(
    calls: &[Call],
    gateways: &[SocketAddr],
    meanwhile: impl FnOnce(&AtomicUsize),
) -> Vec<Answer> {
    let barrier = Barrier::new(calls.len());
    let ended = AtomicUsize::new(0);
    let send = |(call, gateway): (&Call, &SocketAddr)| {
        barrier.wait();
        let answer = call.send(*gateway);
        ended.fetch_add(1, Ordering::SeqCst);
        answer
    };
    let send = &send;
    std::thread::scope(|scope| {
        let threads: Vec<_> = calls
            .iter()
            .zip(gateways.iter().cycle())
            .map(|pair| scope.spawn(move || send(pair)))
            .collect();
        meanwhile(&ended);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Sends duplicates while the one that runs is held. Those that do not wait get their responses
/// before it ends.
fn duplicates_run_once(site: &Site, key: &str, settings: &str, gateways: usize) {
    let gateways: Vec<_> = (0..gateways).map(|_| site.gateway(settings)).collect();
    let addresses: Vec<_> = gateways.iter().map(|gateway| gateway.address).collect();
    let call = pay(key, json!({"hold": "after"}));
    let answers = at_once(&vec![call.clone(); DUPLICATES], &addresses, |ended| {
        site.has_effect(key, 1);
        if settings != WAIT {
            all_but_one(ended);
        }
        site.open(key);
    });
    let is_first = |answer: &&Answer| answer.status == 201 && !answer.is_replay();
    let first = answers.iter().find(is_first).unwrap();
    assert_eq!(answers.iter().filter(is_first).count(), 1);
    for answer in answers.iter().filter(|answer| !is_first(answer)) {
        if settings == WAIT {
            assert_replays(answer, first);
        } else {
            assert_eq!(rejected(answer, 409, "idempotency_key_in_flight"), FOR_NOW);
        }
    }
    for gateway in &gateways {
        assert_replays(&gateway.send(&call), first);
    }
    assert_eq!((site.effects(key), site.arrivals(key)), (vec![1], vec![1]));
}

fn all_but_one(ended: &AtomicUsize) {
    until("all but one have their responses", || {
        (ended.load(Ordering::SeqCst) == DUPLICATES - 1).then_some(())
    });
}

fn one_of_fifty_duplicates_runs(site: &Site) {
    duplicates_run_once(site, "fifty", "", 1);
}

fn one_of_fifty_duplicates_on_two_gateways_runs(site: &Site) {
    duplicates_run_once(site, "two-gateways", "", 2);
}

fn all_of_fifty_that_wait_get_one_response(site: &Site) {
    duplicates_run_once(site, "fifty-wait", WAIT, 1);
}

fn fifty_that_wait_on_two_gateways_get_one_response(site: &Site) {
    duplicates_run_once(site, "fifty-wait-on-two", WAIT, 2);
}

fn one_of_fifty_runs_again_after_a_failure(site: &Site) {
    let gateways = [site.gateway(""), site.gateway("")];
    let addresses = gateways.each_ref().map(|gateway| gateway.address);
    let key = "fifty-after-a-failure";
    let call = pay(key, json!({"hold": "before", "status": 503}));
    site.open(key);
    assert_eq!(gateways[0].send(&call).status, 503);
    site.close(key);
    let answers = at_once(&vec![call; DUPLICATES], &addresses, |ended| {
        site.has_arrived(key, 2);
        all_but_one(ended);
        site.open(key);
    });
    let in_flight = answers.iter().filter(|answer| answer.status != 503);
    let in_flight = in_flight.map(|answer| rejected(answer, 409, "idempotency_key_in_flight"));
    assert_eq!((in_flight.count(), site.arrivals(key)), (DUPLICATES - 1, vec![1, 2]));
}

fn other_keys_run_side_by_side(site: &Site) {
    let gateways = [site.gateway(""), site.gateway("")];
    let addresses = gateways.each_ref().map(|gateway| gateway.address);
    let key = |number| format!("own-{number}");
    let calls: Vec<_> = (0..DUPLICATES).map(|number| pay(&key(number), json!({}))).collect();
    let answers = at_once(&calls, &addresses, |_| ());
    let mut ids: Vec<_> = answers.iter().map(|answer| answer.json()["id"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), DUPLICATES);
    for number in 0..DUPLICATES {
        assert_eq!(site.effects(&key(number)), [1]);
    }
}
