//! The contract, through the gateway, before services that know nothing of it.
//!
//! `gateway/services` has the services, and `gateway/services/install` installs what they need.

use std::panic::{AssertUnwindSafe, catch_unwind};

mod connections;
mod faults;
mod privacy;
mod process;
mod races;
mod same;
mod site;
mod stores;
mod wire;
mod wire_rules;

use site::{Service, Site};
use stores::Kind;
use wire::Answer;

/// A rule by its name, and how it is tested.
type Case = (&'static str, fn(&Site));

/// Names functions as cases.
macro_rules! cases {
    ($($name:ident),+ $(,)?) => { &[$((stringify!($name), $name as fn(&Site))),+] };
}
use cases;

/// Tests a service by every table of cases. Each has a service and a store of its own.
macro_rules! suite {
    ($name:ident, $store:expr) => {
        mod $name {
            use super::*;

            const SERVICE: Service = Service { name: stringify!($name), store: $store };

            #[test]
            fn the_rules_of_the_wire_hold() {
                all_hold(SERVICE, wire_rules::CASES);
            }

            #[test]
            fn one_of_many_duplicates_runs() {
                all_hold(SERVICE, races::CASES);
            }

            #[test]
            fn a_fault_leaves_no_key_stuck_and_no_effect_unknown() {
                all_hold(SERVICE, faults::CASES);
            }

            #[test]
            fn a_retry_is_the_same_request() {
                all_hold(SERVICE, same::CASES);
            }

            #[test]
            fn no_secret_of_a_client_is_written_down() {
                all_hold(SERVICE, privacy::CASES);
            }
        }
    };
}

suite!(django, Kind::Redis);
suite!(flask, Kind::Postgres);
suite!(fastapi, Kind::Redis);
suite!(express, Kind::Redis);
suite!(rails, Kind::Redis);

/// Tests all cases, and names those that fail.
fn all_hold(service: Service, cases: &[Case]) {
    let site = Site::start(service);
    let holds = |case: fn(&Site)| {
        let holds = catch_unwind(AssertUnwindSafe(|| case(&site))).is_ok();
        if !holds {
            site.mend();
        }
        holds
    };
    let failed: Vec<_> =
        cases.iter().filter(|(_, case)| !holds(*case)).map(|(name, _)| *name).collect();
    assert!(failed.is_empty(), "with {}: {failed:#?}", service.name);
}

/// The `Retry-After`, `X-Should-Retry` and `Location` of a rejection.
fn rejected<'a>(answer: &'a Answer, status: u16, code: &str) -> [Option<&'a str>; 3] {
    assert_eq!((answer.status, answer.code().as_deref()), (status, Some(code)), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let document = answer.json();
    assert_eq!(document["status"], status);
    for member in ["type", "title", "detail"] {
        assert!(document[member].as_str().is_some_and(|text| !text.is_empty()), "{document}");
    }
    assert!(!answer.is_replay());
    ["retry-after", "x-should-retry", "location"].map(|name| answer.header(name))
}

/// The headers of a rejection that no retry will change, and of one that a retry may change.
const FOR_GOOD: [Option<&str>; 3] = [None, Some("false"), None];
const FOR_NOW: [Option<&str>; 3] = [Some("1"), None, None];

/// Asserts that `replay` is what a client got before, byte for byte.
fn assert_replays(replay: &Answer, first: &Answer) {
    assert!(replay.is_replay(), "{replay:?}");
    assert_eq!((replay.status, &replay.body), (first.status, &first.body));
    let of_the_first = |answer: &Answer| {
        let own = [
            "set-cookie",
            "date",
            "server",
            "connection",
            "content-length",
            "transfer-encoding",
            // A cache must not take a replay for a new response: it says "no-store".
            "cache-control",
            "x-idempotent-result",
            "x-request-id",
            "x-original-request-id",
        ];
        let mut headers = answer.headers.clone();
        headers.retain(|(name, _)| !own.contains(&name.as_str()));
        headers.sort_by(|(one, _), (other, _)| one.cmp(other));
        headers
    };
    assert_eq!(of_the_first(replay), of_the_first(first));
    if first.header("cache-control").is_some() {
        assert_eq!(replay.header("cache-control"), Some("no-store"));
    }
    for absent in ["set-cookie", "server", "x-should-retry", "retry-after", "www-authenticate"] {
        assert_eq!(replay.header(absent), None, "{replay:?}");
    }
}
