//! Records that were written under one rule, and a layer that has another.

use std::time::Duration;

use http::StatusCode;
use tower_idempotency::fingerprint::{Fields, FingerprintRule, Input};
use tower_idempotency::store::{DynStore, Reservation, ReserveRequest, State, StorageKey, Store};
use tower_idempotency::{
    Attempt, Fingerprint, IdempotencyKey, IdempotencyLayer, InFlight, OnAbandoned, OnFailed,
    PreviousAttempt, Scope,
};

use crate::support::{
    Arrived, Call, Effects, Gate, Server, TestLayer, app, counting, gated, patiently, post, store,
};

const KEY: &str = "order-1001";

/// The body without its spaces, under a version of its own.
struct Spaceless(u8);

impl FingerprintRule for Spaceless {
    fn describe(&self, operation: &Input<'_>, fields: &mut Fields<'_>) -> bool {
        let body: Vec<u8> = operation.body().iter().copied().filter(|byte| *byte != b' ').collect();
        fields.add_target(operation).add(body);
        true
    }

    fn version(&self) -> u8 {
        self.0
    }
}

/// Two layers over one store: the old rule, and the new one which knows of it.
struct Change {
    what: &'static str,
    store: DynStore,
    old: TestLayer,
    new: TestLayer,
    old_by_raw_bytes: bool,
}

fn plain(store: &DynStore) -> TestLayer {
    IdempotencyLayer::new(store.clone()).namespace("change")
}

/// Every change of rules that is to lose nothing.
fn changes(store: impl Fn() -> DynStore) -> Vec<Change> {
    type Set = fn(TestLayer) -> TestLayer;
    let change = |what, old_by_raw_bytes, old: Set, new: Set| {
        let store = store();
        let plain = plain(&store).namespace(what);
        Change { what, old: old(plain.clone()), new: new(plain), store, old_by_raw_bytes }
    };
    vec![
        change("raw bytes, then a rule", true, |old| old, |new| new.fingerprint(Spaceless(64))),
        change(
            "a rule, then its next version",
            false,
            |old| old.fingerprint(Spaceless(64)),
            |new| new.fingerprint(Spaceless(65)).legacy_fingerprint(Spaceless(64)),
        ),
        change(
            "a rule, then raw bytes",
            false,
            |old| old.fingerprint(Spaceless(64)),
            |new| new.legacy_fingerprint(Spaceless(64)),
        ),
        change(
            "a rule, then raw bytes, with another rule between",
            false,
            |old| old.fingerprint(Spaceless(64)),
            |new| new.legacy_fingerprint(Spaceless(65)).legacy_fingerprint(Spaceless(64)),
        ),
    ]
}

fn call(body: &str) -> Call {
    post("/").key(KEY).body(body)
}

async fn finished_is_replayed(stores: impl Fn() -> DynStore) {
    for change in changes(stores) {
        let what = change.what;
        let effects = Effects::new();
        let old = Server::start(counting(&effects).layer(change.old)).await;
        let new = Server::start(counting(&effects).layer(change.new)).await;
        let first = call("a b").send(&old).await;
        first.assert_first(200, "run 1");
        call("a b").send(&new).await.assert_replays(&first);
        call("other").send(&new).await.assert_rejected(409, "idempotency_key_reused");
        // By the rule under which it was written, this is the same request, or it is not.
        let spaced = call("a  b").send(&new).await;
        if change.old_by_raw_bytes {
            spaced.assert_rejected(409, "idempotency_key_reused");
        } else {
            spaced.assert_replays(&first);
        }
        assert_eq!(effects.count(), 1, "{what}");
    }
}

async fn in_flight_is_in_flight(stores: impl Fn() -> DynStore) {
    for change in changes(stores) {
        let what = change.what;
        let (effects, gate, arrived) = (Effects::new(), Gate::new(), Arrived::new());
        let old = Server::start(gated(&effects, &gate).layer(change.old)).await;
        let new = Server::start(gated(&effects, &gate).layer(change.new.clone())).await;
        let waiting = change.new.in_flight(InFlight::Wait(Duration::from_mins(1)));
        let waiting = Server::start(gated(&effects, &gate).layer(arrived.counted(waiting))).await;
        let running = call("a b").begin(&old, usize::MAX).await;
        effects.reached(1).await;
        call("a b").send(&new).await.assert_rejected(409, "idempotency_key_in_flight");
        call("other").send(&new).await.assert_rejected(409, "idempotency_key_reused");
        let waiter = call("a b").begin(&waiting, usize::MAX).await;
        arrived.reached(1).await;
        call("other").send(&waiting).await.assert_rejected(409, "idempotency_key_reused");
        gate.open();
        let first = call("a b").finish(running).await;
        first.assert_first(200, "done");
        call("a b").finish(waiter).await.assert_replays(&first);
        assert_eq!(effects.count(), 1, "{what}");
    }
}

/// The first attempt fails, the second does not.
async fn failed_is_taken_over(stores: impl Fn() -> DynStore) {
    for change in changes(stores) {
        let what = change.what;
        let effects = Effects::new();
        let router = app(&effects, |request| async move {
            let number = request.extensions().get::<Attempt>().unwrap().number();
            (
                if number == 1 { StatusCode::BAD_GATEWAY } else { StatusCode::OK },
                format!("attempt {number}"),
            )
        });
        let old = Server::start(router.clone().layer(change.old.clone())).await;
        let new = Server::start(router.clone().layer(change.new.clone())).await;
        let rejecting = Server::start(router.layer(change.new.on_failed(OnFailed::Reject))).await;
        call("a b").send(&old).await.assert_first(502, "attempt 1");
        call("other").send(&new).await.assert_rejected(409, "idempotency_key_reused");
        call("a b").send(&rejecting).await.assert_rejected(409, "idempotency_attempt_failed");
        assert_eq!(effects.count(), 1);
        let second = call("a b").send(&new).await;
        second.assert_first(200, "attempt 2");
        call("a b").send(&new).await.assert_replays(&second);
        // The process that has not been replaced yet knows the record, too.
        call("a b").send(&old).await.assert_replays(&second);
        call("other").send(&new).await.assert_rejected(409, "idempotency_key_reused");
        let failed = PreviousAttempt::Failed { status: Some(StatusCode::BAD_GATEWAY) };
        assert_eq!(effects.attempts(), [(1, None), (2, Some(failed))], "{what}");
    }
}

/// Leaves behind a reservation as a process does that is killed, and waits until its lease has
/// lapsed.
async fn abandon(change: &Change, fingerprint: Fingerprint) {
    let key = IdempotencyKey::parse(KEY.as_bytes()).unwrap();
    let reserve = ReserveRequest::new(
        StorageKey::derive(None, change.what, &Scope::anonymous(), &key),
        fingerprint,
    )
    .lease(Duration::from_millis(5))
    .retention(Duration::from_mins(10));
    let reserved = change.store.reserve(&reserve).await.unwrap();
    assert!(matches!(reserved, Reservation::Acquired(_)));
    let lapsed = async {
        while let State::Pending { abandoned: false } =
            change.store.inspect(&reserve.key).await.unwrap().unwrap().state
        {
            tokio::task::yield_now().await;
        }
    };
    patiently(lapsed).await;
}

async fn abandoned_is_taken_over(stores: impl Fn() -> DynStore) {
    for change in changes(stores) {
        let what = change.what;
        // What the old layer writes for this request, learned from another store.
        let effects = Effects::new();
        let probe = changes(crate::support::store)
            .into_iter()
            .find(|probe| probe.what == change.what)
            .unwrap();
        let old = Server::start(counting(&effects).layer(probe.old.clone())).await;
        call("a b").send(&old).await.assert_first(200, "run 1");
        let key = IdempotencyKey::parse(KEY.as_bytes()).unwrap();
        let written = probe.old.inspect(&Scope::anonymous(), &key).await.unwrap().unwrap();
        abandon(&change, written.fingerprint).await;

        let effects = Effects::new();
        let rejecting = change.new.clone().on_abandoned(OnAbandoned::Reject);
        let rejecting = Server::start(counting(&effects).layer(rejecting)).await;
        let new = Server::start(counting(&effects).layer(change.new)).await;
        call("other").send(&new).await.assert_rejected(409, "idempotency_key_reused");
        call("a b").send(&rejecting).await.assert_rejected(409, "idempotency_outcome_unknown");
        assert_eq!(effects.count(), 0);
        let first = call("a b").send(&new).await;
        first.assert_first(200, "run 1");
        call("a b").send(&new).await.assert_replays(&first);
        assert_eq!(effects.attempts(), [(2, Some(PreviousAttempt::Abandoned))], "{what}");
    }
}

/// Where the earlier rule is not named, a genuine retry is rejected, and never run again.
async fn unnamed_is_rejected(stores: impl Fn() -> DynStore) {
    for status in [StatusCode::OK, StatusCode::BAD_GATEWAY] {
        let (effects, store) = (Effects::new(), stores());
        let router = app(&effects, move |_| async move { status });
        let old =
            Server::start(router.clone().layer(plain(&store).fingerprint(Spaceless(64)))).await;
        let new = [
            plain(&store),
            plain(&store).fingerprint(Spaceless(65)),
            plain(&store).fingerprint(Spaceless(65)).legacy_fingerprint(Spaceless(66)),
            // A version that is stored as the same number is a version of its own all the same.
            plain(&store).fingerprint(Spaceless(3)),
        ];
        assert_eq!(call("a b").send(&old).await.status, status.as_u16());
        for layer in new {
            let new = Server::start(router.clone().layer(layer)).await;
            call("a b").send(&new).await.assert_rejected(409, "idempotency_key_reused");
        }
        assert_eq!(effects.count(), 1);
    }
}

/// A secret that is set later keys the fingerprints. The storage keys change with it, so no record
/// is found. If both are keyed, a raw fingerprint still differs from that of a rule.
async fn keyed_fingerprints_change_rules_as_well(stores: impl Fn() -> DynStore) {
    let (effects, store) = (Effects::new(), stores());
    let old = plain(&store).secret([7; 32]);
    let new = old.clone().fingerprint(Spaceless(64));
    let old = Server::start(counting(&effects).layer(old)).await;
    let new = Server::start(counting(&effects).layer(new)).await;
    let first = call("a b").send(&old).await;
    first.assert_first(200, "run 1");
    call("a b").send(&new).await.assert_replays(&first);
    call("a  b").send(&new).await.assert_rejected(409, "idempotency_key_reused");
    assert_eq!(effects.count(), 1);
}

macro_rules! over {
    ($start:expr, $stores:expr; $($name:ident)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                let server = $start;
                super::$name($stores(&server)).await;
            }
        )*
    };
}

mod memory {
    use super::*;

    fn fresh((): &()) -> impl Fn() -> DynStore {
        store
    }

    over! { (), fresh;
        finished_is_replayed
        in_flight_is_in_flight
        failed_is_taken_over
        abandoned_is_taken_over
        unnamed_is_rejected
        keyed_fingerprints_change_rules_as_well
    }
}

#[cfg(feature = "redis")]
mod redis {
    use tower_idempotency::RedisStore;

    use super::*;
    use crate::support::redis::RedisServer;

    /// The server is emptied for each store that is asked for.
    fn fresh(server: &RedisServer) -> impl Fn() -> DynStore {
        || {
            server.clear();
            DynStore::new(RedisStore::open(&server.url()).unwrap())
        }
    }

    over! { RedisServer::start(), fresh;
        finished_is_replayed
        in_flight_is_in_flight
        failed_is_taken_over
        abandoned_is_taken_over
        unnamed_is_rejected
        keyed_fingerprints_change_rules_as_well
    }
}
