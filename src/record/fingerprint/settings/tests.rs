#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use http::request::Parts;
use http::{HeaderName, Request};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Fingerprinting, Fingerprints};
use crate::record::fingerprint::{Fields, Fingerprint, FingerprintRule, Input, Rule};
use crate::record::secret::SecretKey;

const SECRET: &[u8; 32] = &[7; 32];

fn head() -> Parts {
    Request::post("/payments?dry=1")
        .header("x-a", "1")
        .header("x-a", "2")
        .body(())
        .unwrap()
        .into_parts()
        .0
}

fn settings(rule: Option<Rule>) -> Fingerprinting {
    Fingerprinting { rule, ..Fingerprinting::default() }
}

fn keyed(mut settings: Fingerprinting) -> Fingerprinting {
    settings.set_secret(&SecretKey::new(*SECRET));
    settings
}

fn of(settings: &Fingerprinting, body: &[u8]) -> Fingerprints {
    settings.of(&Input::new(&head(), body))
}

fn raw(body: &[u8]) -> Fingerprint {
    let head = head();
    Fingerprint::of_request(&head.method, "/payments?dry=1", &head.headers, &[], body)
}

fn versions(fingerprints: &Fingerprints) -> (u8, Vec<u8>) {
    let version = |fingerprint: &Fingerprint| fingerprint.to_bytes()[0];
    (version(&fingerprints.own), fingerprints.others.iter().map(version).collect())
}

/// A rule that identifies the operation by the length of the body. For an empty body it adds a
/// field and then does not apply.
struct Length(u8);

impl FingerprintRule for Length {
    fn describe(&self, operation: &Input<'_>, fields: &mut Fields<'_>) -> bool {
        fields.add([u8::try_from(operation.body().len()).unwrap()]);
        !operation.body().is_empty()
    }

    fn version(&self) -> u8 {
        self.0
    }
}

#[test]
fn by_default_there_is_one_fingerprint_and_it_is_the_raw_one() {
    let fingerprints = of(&settings(None), b"body");
    assert_eq!(fingerprints.own, raw(b"body"));
    assert_eq!(fingerprints.others.capacity(), 0);
}

#[test]
fn a_rule_decides_what_is_the_same_and_the_raw_fingerprint_is_beside_it() {
    let settings = settings(Some(Length(64).into()));
    let fingerprints = of(&settings, b"body");
    assert_eq!(versions(&fingerprints), (64, vec![1]));
    assert_eq!(fingerprints.own, of(&settings, b"ydob").own);
    assert_ne!(fingerprints.own, of(&settings, b"bodyy").own);
    assert_eq!(fingerprints.others, [raw(b"body")]);
}

#[test]
fn a_rule_that_has_nothing_to_say_leaves_the_raw_fingerprint_alone() {
    let fingerprints = of(&settings(Some(Length(64).into())), b"");
    assert_eq!(fingerprints.own, raw(b""));
    assert!(fingerprints.others.is_empty());
}

#[test]
fn versions_of_own_rules_never_meet_one_another_nor_a_built_in_one() {
    let given = [0, 1, 2, 3, 63, 64, 65, 126, 127, 128, 129, 255];
    let made =
        given.map(|version| of(&settings(Some(Length(version).into())), b"body").own.to_bytes());
    assert_eq!(made.iter().collect::<HashSet<_>>().len(), given.len());
    assert!(made.iter().all(|bytes| (64..=127).contains(&bytes[0])));
}

#[test]
fn earlier_rules_are_compared_by_their_own_fingerprints_each_once() {
    let mut now = settings(Some(Length(65).into()));
    let target = |operation: &Input<'_>, fields: &mut Fields<'_>| {
        fields.add_target(operation);
        true
    };
    now.earlier = vec![Length(64).into(), Length(64).into(), Length(65).into(), target.into()];
    let before = of(&settings(Some(Length(64).into())), b"body").own;
    let fingerprints = of(&now, b"body");
    assert_eq!(versions(&fingerprints), (65, vec![1, 64, 64]));
    assert_eq!(fingerprints.others[1], before);

    let back = Fingerprinting { rule: None, ..now };
    assert_eq!(versions(&of(&back, b"body")), (1, vec![64, 65, 64]));
}

#[test]
fn a_secret_keys_every_fingerprint() {
    let plain = settings(Some(Length(64).into()));
    let with_secret = keyed(plain.clone());
    let (without, with) = (of(&plain, b"body"), of(&with_secret, b"body"));
    assert_eq!(versions(&with), (64 | 0x80, vec![1 | 0x80]));
    assert_ne!(with.own.to_bytes()[1..], without.own.to_bytes()[1..]);
    assert_ne!(with.others[0].to_bytes()[1..], raw(b"body").to_bytes()[1..]);

    let default = of(&keyed(settings(None)), b"body");
    assert_eq!((default.own, default.others), (with.others[0], Vec::new()));

    let mut other_secret = settings(None);
    other_secret.set_secret(&SecretKey::new([8; 32]));
    assert_ne!(of(&other_secret, b"body").own, of(&keyed(settings(None)), b"body").own);
}

#[test]
fn the_key_of_fingerprints_is_not_the_secret_itself() {
    let key = keyed(settings(None)).key.unwrap();
    assert_ne!(**key, *SECRET);
}

fn steps() -> impl Strategy<Value = Vec<Vec<String>>> {
    // A rule takes the same steps for every operation. Only the length and content of the lists
    // vary.
    vec(vec("[a\\x00\\x01]{0,2}", 0..3), 3)
}

proptest! {
    #[test]
    fn no_two_operations_of_a_rule_have_one_digest_input(one in steps(), other in steps()) {
        let head = head();
        let fingerprint = |steps: &[Vec<String>]| {
            let steps = steps.to_vec();
            let rule = move |operation: &Input<'_>, fields: &mut Fields<'_>| {
                fields.add_target(operation).add_chosen_headers(operation);
                for step in &steps {
                    fields.add_list(step);
                }
                true
            };
            settings(Some(rule.into())).of(&Input::new(&head, b"")).own
        };
        prop_assert_eq!(fingerprint(&one) == fingerprint(&other), one == other);
    }
}

#[test]
fn a_header_that_is_absent_is_not_an_empty_one() {
    let name = HeaderName::from_static("x-b");
    let of = |values: &[&'static str]| {
        let mut head = head();
        for value in values {
            head.headers.append(&name, value.parse().unwrap());
        }
        let headers = vec![name.clone(), HeaderName::from_static("x-a")];
        let rule = |operation: &Input<'_>, fields: &mut Fields<'_>| {
            fields.add_chosen_headers(operation);
            true
        };
        let settings = Fingerprinting { headers, ..settings(Some(rule.into())) };
        settings.of(&Input::new(&head, b"")).own.to_bytes()
    };
    let different = [
        of(&[]),
        of(&[""]),
        of(&["", ""]),
        of(&["1"]),
        of(&["1", "2"]),
        of(&["2", "1"]),
        of(&["1,2"]),
    ];
    assert_eq!(different.iter().collect::<HashSet<_>>().len(), different.len());
}
