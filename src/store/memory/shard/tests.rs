use http::{HeaderMap, Method};

use super::*;
use crate::record::fingerprint::Fingerprint;
use crate::record::key::{IdempotencyKey, Scope};
use crate::store::memory::limits::Limits;
use crate::store::memory::slot::SlotState;
use crate::store::{ReserveRequest, RetryFailed, Token};

/// The queue of expiries is not part of what the store counts, so only here can it be seen to stay
/// small.
#[test]
fn places_in_the_queue_do_not_add_up() {
    let secret = Secret::new();
    let capacity = Capacity::new(1, secret, Limits::new(10, usize::MAX));
    let mut shard = Shard::new(secret);
    let bystander = lease("bystander");
    shard.insert(&bystander.key, Slot::pending(&bystander, Duration::ZERO));

    let lease = lease("busy");
    for round in 0..10_000 {
        let now = Duration::from_millis(round);
        shard.insert(&lease.key, Slot::pending(&lease, now));
        settle(&mut shard, &lease, now + Duration::from_secs(1));
        shard.replace(&lease.key, Slot::pending(&lease, now));
        shard.remove(&lease.key, &capacity);
        assert!(shard.expiries.len() <= 2 * shard.slots.len() + 66, "{}", shard.expiries.len());
    }
    let places = shard.expiries.iter().filter(|Reverse((_, key))| *key == name(&bystander.key));
    assert!(places.count() >= 1, "a record lost its place in the queue");
}

#[test]
fn a_record_that_ends_sooner_than_it_was_to_is_swept_in_time() {
    let secret = Secret::new();
    let capacity = Capacity::new(1, secret, Limits::new(10, usize::MAX));
    let mut shard = Shard::new(secret);
    let lease = lease("brief");
    let slot = Slot::pending(&lease, Duration::ZERO);
    assert!(capacity.admit(&slot.claim()).is_ok());
    shard.insert(&lease.key, slot);
    settle(&mut shard, &lease, Duration::from_secs(5));

    shard.sweep(Duration::from_millis(4999), usize::MAX, &capacity);
    assert_eq!((shard.slots.len(), capacity.records()), (1, 1));
    shard.sweep(Duration::from_secs(5), usize::MAX, &capacity);
    assert_eq!((shard.slots.len(), capacity.records()), (0, 0));
}

#[test]
fn a_record_that_ends_later_than_it_was_to_is_not_swept_before() {
    let secret = Secret::new();
    let capacity = Capacity::new(1, secret, Limits::new(10, usize::MAX));
    let mut shard = Shard::new(secret);
    let lease = lease("renewed");
    let slot = Slot::pending(&lease, Duration::ZERO);
    assert!(capacity.admit(&slot.claim()).is_ok());
    shard.insert(&lease.key, slot);
    shard.renew(&lease, lease.retention / 2);

    shard.sweep(lease.retention, usize::MAX, &capacity);
    assert_eq!(shard.slots.len(), 1);
    shard.sweep(lease.retention * 3 / 2, usize::MAX, &capacity);
    assert_eq!((shard.slots.len(), capacity.records()), (0, 0));
}

fn settle(shard: &mut Shard, lease: &Lease, expires: Duration) {
    if let Some(slot) = shard.slots.get_mut(&name(&lease.key)) {
        let before = slot.expires;
        slot.settle(&mut SlotState::Failed(None), expires, before);
        shard.changed(&lease.key, before, expires);
    }
}

#[allow(clippy::unwrap_used)]
fn lease(key: &str) -> Lease {
    let key = IdempotencyKey::parse(key.as_bytes()).unwrap();
    let request = ReserveRequest::new(
        StorageKey::derive(None, "tests", &Scope::anonymous(), &key),
        Fingerprint::of_request(&Method::POST, "/", &HeaderMap::new(), &[], b""),
    )
    .lease(Duration::from_secs(10))
    .retention(Duration::from_mins(1))
    .retry_failed(RetryFailed::Never)
    .retry_abandoned(false);
    Lease::first(&request, Token::new([1; 16]))
}
