//! One execution among any number of concurrent duplicates.

use std::net::SocketAddr;
use std::sync::Barrier;

use serde_json::json;

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

/// Sends these calls at once, in turn to these gateways.
fn at_once(calls: &[Call], gateways: &[SocketAddr]) -> Vec<Answer> {
    let barrier = Barrier::new(calls.len());
    let send = |(call, gateway): (&Call, &SocketAddr)| {
        barrier.wait();
        call.send(*gateway)
    };
    std::thread::scope(|scope| {
        let sent: Vec<_> = calls
            .iter()
            .zip(gateways.iter().cycle())
            .map(|pair| scope.spawn(move || send(pair)))
            .collect();
        sent.into_iter().map(|sent| sent.join().unwrap()).collect()
    })
}

/// One of the responses is the first, and each other one its replay or "in-flight". Returns the
/// first.
fn assert_one_ran(answers: &[Answer]) -> &Answer {
    let is_first = |answer: &&Answer| answer.status == 201 && !answer.is_replay();
    let first = answers.iter().find(is_first).unwrap();
    assert_eq!(answers.iter().filter(is_first).count(), 1);
    for answer in answers.iter().filter(|answer| !is_first(answer)) {
        if answer.is_replay() {
            assert_replays(answer, first);
        } else {
            assert_eq!(rejected(answer, 409, "idempotency_key_in_flight"), FOR_NOW);
        }
    }
    first
}

fn duplicates_run_once(site: &Site, key: &str, settings: &str, gateways: usize) -> Vec<Answer> {
    let gateways: Vec<_> = (0..gateways).map(|_| site.gateway(settings)).collect();
    let addresses: Vec<_> = gateways.iter().map(|gateway| gateway.address).collect();
    let call = pay(key, json!({"delay_ms": 100, "after_ms": 100}));
    let answers = at_once(&vec![call.clone(); DUPLICATES], &addresses);
    let first = assert_one_ran(&answers);
    for gateway in &gateways {
        assert_replays(&gateway.send(&call), first);
    }
    assert_eq!((site.effects(key), site.arrivals(key)), (vec![1], vec![1]));
    answers
}

fn one_of_fifty_duplicates_runs(site: &Site) {
    let answers = duplicates_run_once(site, "fifty", "", 1);
    assert!(answers.iter().any(|answer| answer.status == 409));
}

fn one_of_fifty_duplicates_on_two_gateways_runs(site: &Site) {
    let answers = duplicates_run_once(site, "two-gateways", "", 2);
    assert!(answers.iter().any(|answer| answer.status == 409));
}

fn all_of_fifty_that_wait_get_one_response(site: &Site) {
    let answers = duplicates_run_once(site, "fifty-wait", WAIT, 1);
    assert!(answers.iter().all(|answer| answer.status == 201));
}

fn fifty_that_wait_on_two_gateways_get_one_response(site: &Site) {
    let answers = duplicates_run_once(site, "fifty-wait-on-two", WAIT, 2);
    assert!(answers.iter().all(|answer| answer.status == 201));
}

fn one_of_fifty_runs_again_after_a_failure(site: &Site) {
    let gateways = [site.gateway(""), site.gateway("")];
    let addresses = gateways.each_ref().map(|gateway| gateway.address);
    let key = "fifty-after-a-failure";
    let call = pay(key, json!({"delay_ms": 200, "status": 503}));
    assert_eq!(gateways[0].send(&call).status, 503);
    let answers = at_once(&vec![call; DUPLICATES], &addresses);
    let ran = answers.iter().filter(|answer| answer.status == 503).count();
    for answer in answers.iter().filter(|answer| answer.status != 503) {
        rejected(answer, 409, "idempotency_key_in_flight");
    }
    // One after the other: each that ran has a number of its own.
    let arrivals = site.arrivals(key);
    assert_eq!(arrivals, (1..=u64::try_from(ran).unwrap() + 1).collect::<Vec<_>>());
    assert!(ran < DUPLICATES / 2, "{ran}");
}

fn other_keys_run_side_by_side(site: &Site) {
    let gateways = [site.gateway(""), site.gateway("")];
    let addresses = gateways.each_ref().map(|gateway| gateway.address);
    let key = |number| format!("own-{number}");
    let calls: Vec<_> = (0..DUPLICATES).map(|number| pay(&key(number), json!({}))).collect();
    let answers = at_once(&calls, &addresses);
    let mut ids: Vec<_> = answers.iter().map(|answer| answer.json()["id"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), DUPLICATES);
    for number in 0..DUPLICATES {
        assert_eq!(site.effects(&key(number)), [1]);
    }
}
