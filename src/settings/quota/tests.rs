#![allow(clippy::unwrap_used)]

use governor::clock::FakeRelativeClock;

use super::*;
use crate::record::key::Scope;

const SECOND: Duration = Duration::from_secs(1);

fn three() -> (NewKeys<FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    (NewKeys::with_clock(NonZeroU32::new(3).unwrap(), clock.clone()), clock)
}

fn tenant(number: u32) -> ScopeDigest {
    ScopeDigest::of(None, &Scope::new(number.to_be_bytes()))
}

#[test]
fn a_scope_gets_its_keys_and_then_one_at_a_time() {
    let (keys, clock) = three();
    for _ in 0..3 {
        assert_eq!((keys.take(tenant(1)), keys.wait(tenant(1))), (Ok(()), None));
    }
    assert_eq!(keys.take(tenant(1)), Err(20 * SECOND));
    assert_eq!(keys.wait(tenant(1)), Some(20 * SECOND));
    assert_eq!((keys.take(tenant(2)), keys.wait(tenant(2))), (Ok(()), None));

    clock.advance(19 * SECOND);
    assert_eq!(keys.wait(tenant(1)), Some(SECOND));
    clock.advance(SECOND);
    assert_eq!((keys.wait(tenant(1)), keys.take(tenant(1))), (None, Ok(())));
    assert_eq!(keys.take(tenant(1)), Err(20 * SECOND));
}

#[test]
fn an_exhausted_scope_gets_ten_looks_for_each_key() {
    let (keys, clock) = three();
    let looks = || (0..100).filter(|_| keys.may_look(tenant(1))).count();
    assert_eq!(looks(), 30);
    assert!(keys.may_look(tenant(2)));
    clock.advance(2 * SECOND);
    assert_eq!(looks(), 1);
}

#[test]
fn callers_that_are_not_told_apart_are_not_counted() {
    let (keys, _) = three();
    for _ in 0..100 {
        assert_eq!((keys.take(ScopeDigest::UNSET), keys.wait(ScopeDigest::UNSET)), (Ok(()), None));
    }
    assert!(keys.take(ScopeDigest::ANONYMOUS).is_ok());
}

#[test]
fn idle_scopes_are_discarded() {
    let (keys, clock) = three();
    for number in 0..1000 {
        while keys.take(tenant(number)).is_ok() {}
        assert!(keys.may_look(tenant(number)));
    }
    let sizes = || (keys.keys.len(), keys.looks.len(), lock(&keys.waiting).until.len());
    assert_eq!(sizes(), (1000, 1000, 1000));
    clock.advance(90 * SECOND);
    assert!(keys.take(tenant(1)).is_ok());
    assert_eq!(sizes(), (1, 0, 0));
}

#[test]
fn the_largest_quota_does_not_overflow() {
    let keys = NewKeys::new(NonZeroU32::MAX);
    assert!(keys.take(tenant(1)).is_ok() && keys.may_look(tenant(1)));
}
