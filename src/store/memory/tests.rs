//! What is counted of records and shares, over any history.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;

use http::{HeaderMap, Method, StatusCode};
use proptest::prelude::*;

use super::super::{Rerun, Reservation};
use super::*;
use crate::fingerprint::Fingerprint;
use crate::key::{IdempotencyKey, Scope, ScopeDigest};
use crate::outcome::{KeptBody, Outcome};

const MINUTE: Duration = Duration::from_mins(1);

#[derive(Debug, Clone)]
enum Step {
    Reserve { key: u8, lapsed: bool },
    Complete { late: usize, bytes: usize, retention: u64 },
    Fail { late: usize, bytes: usize, retention: u64 },
    Release { late: usize },
    Renew { late: usize },
    Pass { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![Just(0), Just(300), Just(3000)];
    let retention = prop_oneof![Just(1_u64), Just(90), Just(4000)];
    prop_oneof![
        4 => (0..12_u8, any::<bool>()).prop_map(|(key, lapsed)| Step::Reserve { key, lapsed }),
        2 => (0..4_usize, bytes.clone(), retention.clone())
            .prop_map(|(late, bytes, retention)| Step::Complete { late, bytes, retention }),
        2 => (0..4_usize, bytes, retention)
            .prop_map(|(late, bytes, retention)| Step::Fail { late, bytes, retention }),
        1 => (0..4_usize).prop_map(|late| Step::Release { late }),
        1 => (0..4_usize).prop_map(|late| Step::Renew { late }),
        1 => prop_oneof![Just(1_u64), Just(61), Just(700)].prop_map(|seconds| Step::Pass { seconds }),
    ]
}

/// Three keys for each of four scopes.
fn ask(number: u8, lease: Duration) -> Reserve {
    let scope = match number % 4 {
        0 => ScopeDigest::UNSET,
        1 => ScopeDigest::ANONYMOUS,
        tenant => ScopeDigest::of(None, &Scope::new([tenant])),
    };
    let key = IdempotencyKey::parse(format!("order-{number}").as_bytes()).unwrap();
    Reserve {
        key: StorageKey::derive(None, "tests", &Scope::anonymous(), &key),
        scope,
        fingerprint: Fingerprint::of_request(&Method::POST, "/", &HeaderMap::new(), &[], b""),
        lease,
        retention: 20 * MINUTE,
        rerun_failed: Rerun::Any,
        rerun_abandoned: true,
    }
}

fn answer(bytes: usize) -> Outcome {
    Outcome::bare(StatusCode::OK, KeptBody::Whole { bytes: vec![b'x'; bytes].into(), trailers: None })
}

async fn run(store: &MemoryStore, steps: Vec<Step>) {
    let mut leases = VecDeque::new();
    for step in steps {
        let lease = |late: usize| leases.get(late).cloned();
        match step {
            Step::Reserve { key, lapsed } => {
                let lease = if lapsed { Duration::ZERO } else { MINUTE };
                if let Ok(Reservation::Acquired(lease)) = store.reserve(&ask(key, lease)).await {
                    leases.push_front(lease);
                    leases.truncate(4);
                }
            }
            Step::Complete { late, bytes, retention } => {
                if let Some(lease) = lease(late) {
                    let retention = Duration::from_secs(retention);
                    let _ = store.complete(&lease, &answer(bytes), retention).await;
                }
            }
            Step::Fail { late, bytes, retention } => {
                if let Some(lease) = lease(late) {
                    let (answer, retention) = (answer(bytes), Duration::from_secs(retention));
                    let _ = store.fail(&lease, (bytes > 0).then_some(&answer), retention).await;
                }
            }
            Step::Release { late } => {
                if let Some(lease) = lease(late) {
                    let _ = store.release(&lease).await.unwrap();
                }
            }
            Step::Renew { late } => {
                if let Some(lease) = lease(late) {
                    let _ = store.renew(&lease).await.unwrap();
                }
            }
            Step::Pass { seconds } => tokio::time::advance(Duration::from_secs(seconds)).await,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_counts_when_all_records_have_gone(steps in prop::collection::vec(step(), 0..80)) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
            let store = MemoryStore::new().max_records(12).max_bytes(12 << 10).scope_share(40);
            run(&store, steps).await;
            tokio::time::advance(120 * MINUTE).await;
            store.0.sweep(store.0.now());
            assert_eq!((store.records(), store.bytes(), store.0.room.shares.len()), (0, 0, 0));
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_scopes_leaves_nothing() {
    let store = MemoryStore::new();
    for number in 0..20_000_u32 {
        let scope = ScopeDigest::of(None, &Scope::new(number.to_be_bytes()));
        let key = IdempotencyKey::parse(format!("order-{number}").as_bytes()).unwrap();
        let key = StorageKey::derive(None, "tests", &Scope::anonymous(), &key);
        let reservation = store.reserve(&Reserve { scope, key, ..ask(0, MINUTE) }).await.unwrap();
        assert!(matches!(reservation, Reservation::Acquired(_)));
    }
    assert_eq!(store.0.room.shares.len(), 20_000);
    tokio::time::advance(30 * MINUTE).await;
    store.0.sweep(store.0.now());
    assert_eq!((store.records(), store.bytes(), store.0.room.shares.len()), (0, 0, 0));
}
