//! What operators ask of a cluster.

use std::collections::{BTreeMap, BTreeSet};

use tower_idempotency::RedisStore;
use tower_idempotency::store::operator::{Intervened, ListFilter};
use tower_idempotency::store::{Settlement, StorageKey, Store};

use super::{HEALED, tell};
use crate::support::redis::Cluster;
use crate::support::redis::operated::{
    Pages, carried_out, counted, failed, release, reserved, respond, seen,
};
use crate::support::redis::traffic::{RETENTION, Runtime, response, served, stored_body};

pub(super) fn they_find_and_settle_records_on_all_servers(
    runtime: &Runtime,
    cluster: &mut Cluster,
    store: &RedisStore,
) {
    for port in cluster.primary_ports() {
        tell::<()>(port, "FLUSHALL");
    }
    let keys = runtime.block_on(plant(store));
    runtime.block_on(async {
        for limit in [1, 50, 1000] {
            let records = Pages::of(store, ListFilter::new(), limit).all().await;
            assert_eq!(records.len(), keys.len(), "pages of {limit}: each record once");
        }
        assert_eq!(counted(store).await.failed.count, 300);
        they_settle(store, &keys).await;
    });
    a_slot_that_moves_takes_its_records_with_it(runtime, cluster, store, &keys);
    a_failover_hides_no_record(runtime, cluster, store, &keys);
    for port in cluster.primary_ports() {
        tell::<()>(port, "FLUSHALL");
    }
}

async fn plant(store: &RedisStore) -> BTreeSet<StorageKey> {
    let mut keys = BTreeSet::new();
    for number in 0..300 {
        keys.insert(failed(store, &format!("operated-{number}")).await.unwrap());
    }
    keys
}

async fn they_settle(store: &RedisStore, keys: &BTreeSet<StorageKey>) {
    for (number, key) in (0..20).zip(keys) {
        let found = seen(store, key).await;
        let outcome = response(vec![number; if number % 2 == 0 { 10 } else { 5000 }]);
        carried_out(store, &respond(&found, number, &outcome)).await;
        let again = store.intervene(&respond(&found, number, &outcome)).await.unwrap();
        assert!(matches!(again, Intervened::AlreadyApplied), "{again:?}");
        let moved = store.intervene(&release(&found, 77)).await.unwrap();
        assert!(matches!(moved, Intervened::Moved(Some(_))), "{moved:?}");
        let shown = store.show(key).await.unwrap();
        assert_eq!((shown.history.len(), shown.record.unwrap().state.word()), (1, "success"));
    }
    let lease = reserved(store, "fenced").await.unwrap();
    carried_out(store, &respond(&seen(store, &lease.key).await, 1, &response("by hand"))).await;
    let late = store.complete(&lease, &response(vec![7; 5000]), RETENTION).await.unwrap();
    assert_eq!(late, Settlement::LeaseLost);
    assert_eq!(stored_body(store, "fenced").await.unwrap().as_deref(), Some(&b"by hand"[..]));
}

/// The slot of a record, and the port of the server that has it.
fn place(cluster: &Cluster, key: &StorageKey) -> (u16, u16) {
    let name = format!("idempotency:{}", key.to_hex());
    let has = |port: &u16| !tell::<Vec<String>>(*port, &format!("KEYS {name}")).is_empty();
    let port = cluster.primary_ports().into_iter().find(has).expect("the record is there");
    (tell(port, &format!("CLUSTER KEYSLOT {name}")), port)
}

/// Moves a slot with all that it has.
fn move_slot(slot: u16, from: u16, to: u16) {
    let id = |port| tell::<String>(port, "CLUSTER MYID");
    tell::<()>(to, &format!("CLUSTER SETSLOT {slot} IMPORTING {}", id(from)));
    tell::<()>(from, &format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(to)));
    let client = redis::Client::open(format!("redis://127.0.0.1:{from}")).unwrap();
    let mut connection = client.get_connection().unwrap();
    for name in tell::<Vec<Vec<u8>>>(from, &format!("CLUSTER GETKEYSINSLOT {slot} 1000")) {
        let mut migrate = redis::cmd("MIGRATE");
        migrate.arg("127.0.0.1").arg(to).arg(name).arg(0).arg(1000);
        migrate.exec(&mut connection).unwrap();
    }
    // The one that gets it comes first, so that it always has an owner. The others hear of it.
    for port in [to, from] {
        tell::<()>(port, &format!("CLUSTER SETSLOT {slot} NODE {}", id(to)));
    }
}

/// The slot moves to a server that the list has been through already, from one to which it has not
/// come yet.
fn a_slot_that_moves_takes_its_records_with_it(
    runtime: &Runtime,
    cluster: &Cluster,
    store: &RedisStore,
    keys: &BTreeSet<StorageKey>,
) {
    let all: Vec<_> = keys.iter().map(|key| (*key, place(cluster, key))).collect();
    let in_order: BTreeMap<_, _> = all.iter().map(|(_, (slot, port))| (*slot, *port)).collect();
    let (first, last) =
        (*in_order.first_key_value().unwrap().1, *in_order.last_key_value().unwrap().1);
    let port_of: BTreeMap<_, _> = all.iter().map(|(key, (_, port))| (*key, *port)).collect();

    let mut pages = Pages::of(store, ListFilter::new(), 20);
    while pages.keys().iter().all(|key| port_of.get(key).is_none_or(|port| *port == first)) {
        assert!(runtime.block_on(pages.turn()).unwrap());
    }
    let before = pages.keys();
    let is_moved = |(key, (_, port)): &&(_, (_, u16))| *port == last && !before.contains(key);
    let (moved, (slot, _)) = all.iter().find(is_moved).expect("a record that was not read yet");
    move_slot(*slot, last, first);
    while runtime.block_on(pages.turn()).unwrap() {}
    assert!(pages.keys().contains(moved), "it is not skipped");
    assert!(keys.is_subset(&pages.keys()));
    let records: Vec<_> = pages.records.iter().map(|info| info.key).collect();
    assert_eq!(records.len(), pages.keys().len(), "none comes twice");
    move_slot(*slot, first, last);
}

fn a_failover_hides_no_record(
    runtime: &Runtime,
    cluster: &mut Cluster,
    store: &RedisStore,
    keys: &BTreeSet<StorageKey>,
) {
    // The replicas have it all.
    cluster.heal();
    // In a server, and again in whichever is next.
    let mut pages = Pages::of(store, ListFilter::new(), 20);
    for _ in 0..2 {
        for _ in 0..3 {
            assert!(runtime.block_on(pages.turn()).unwrap());
        }
        assert!(!keys.is_subset(&pages.keys()));
        let lost = cluster.kill_primary();
        cluster.moved_from(lost);
        cluster.heal();
    }
    runtime.block_on(async { while served(HEALED, async || pages.turn().await).await {} });
    assert!(keys.is_subset(&pages.keys()));
}
