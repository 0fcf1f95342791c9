//! The Redis store on a cluster.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use redis::RedisConnectionInfo;
use tower_idempotency::RedisStore;
use tower_idempotency::store::{Reservation, Settlement, Store, conformance};

use crate::support::redis::traffic::{
    Account, BACK, BOUND, IMPATIENT, PATIENT, RETENTION, Runtime, Traffic, execute, request,
    response, served, stored, stored_body,
};
use crate::support::redis::{Cluster, RedisServer, is_before_7, until};

mod map;
mod operators;

/// How long after the loss of a primary there may be failures. The others find the loss after a
/// second, and elect its replica in one or two. The rest is for a busy machine.
const HEALED: Duration = Duration::from_secs(10);

/// One cluster for all parts, because it is heavy. Each part leaves it whole.
#[test]
fn the_store_meets_the_contract_and_follows_the_slots() {
    let runtime = Runtime::new("cluster");
    let mut cluster = Cluster::start();
    let store = RedisStore::open(&cluster.url()).unwrap();

    runtime.block_on(conformance::run(&store, Duration::from_millis(500))).assert_success();
    a_first_execution_is_two_commands(&runtime, &cluster);
    large_responses_are_stored(&runtime, &store);
    servers_without_a_name_are_found_by_their_addresses(&runtime, &cluster);
    the_rights_that_the_documentation_names_are_enough(&runtime, &cluster);
    a_slot_may_move_under_a_record(&runtime, &cluster, &store);
    operators::they_find_and_settle_records_on_all_servers(&runtime, &mut cluster, &store);

    fails_over(&runtime, &mut cluster, &store, ("killed", PATIENT), Cluster::kill_primary);
    fails_over(&runtime, &mut cluster, &store, ("stopped", PATIENT), Cluster::stop_primary);
    fails_over(&runtime, &mut cluster, &store, ("by-command", PATIENT), |cluster| {
        cluster.failover()
    });
    fails_over(&runtime, &mut cluster, &store, ("impatient", IMPATIENT), Cluster::stop_primary);
    one_server_is_enough_to_find_the_others(&runtime, &mut cluster);
    a_cluster_that_is_gone_leaves_nothing_behind(&runtime, &mut cluster, &store);
    credentials_are_used(&runtime, &cluster);
}

fn tell<T: redis::FromRedisValue>(port: u16, command: &str) -> T {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
    let mut words = command.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    command.arg(words.collect::<Vec<_>>()).query(&mut client.get_connection().unwrap()).unwrap()
}

/// How often each command was carried out, by all servers together.
fn commands(cluster: &Cluster) -> BTreeMap<String, u32> {
    let mut counted = BTreeMap::new();
    for port in cluster.ports() {
        for line in tell::<String>(port, "INFO commandstats").lines() {
            let Some((name, rest)) =
                line.strip_prefix("cmdstat_").and_then(|line| line.split_once(":calls="))
            else {
                continue;
            };
            let calls: u32 = rest.split(',').next().unwrap().parse().unwrap();
            *counted.entry(name.to_owned()).or_default() += calls;
        }
    }
    counted
}

fn a_first_execution_is_two_commands(runtime: &Runtime, cluster: &Cluster) {
    let store = RedisStore::open(&cluster.url()).unwrap();
    // Each server learns the scripts, and whether it may evict.
    runtime.block_on(async {
        for number in 0..50 {
            execute(&store, &format!("warm-up-{number}"), "paid").await.unwrap();
        }
    });
    for port in cluster.ports() {
        tell::<()>(port, "CONFIG RESETSTAT");
    }
    runtime.block_on(execute(&store, "counted", "paid")).unwrap();
    let counted = commands(cluster);
    let ours = |name: &str| counted.get(name).copied().unwrap_or_default();
    // A primary passes on what it did, and its replica counts that too.
    assert!((1..=2 * 2).contains(&ours("set")), "{counted:?}");
    // Before 7.0 a script reserves.
    let scripts = if is_before_7() { 2 } else { 1 };
    assert_eq!((ours("pttl"), ours("evalsha")), (0, scripts), "{counted:?}");
    for command in ["eval", "asking", "cluster|slots", "hello"] {
        assert_eq!(ours(command), 0, "{command}");
    }
}

fn large_responses_are_stored(runtime: &Runtime, store: &RedisStore) {
    runtime.block_on(async {
        for number in 0..12 {
            let (key, body) = (format!("large-{number}"), vec![number; 200 << 10]);
            execute(store, &key, body.clone()).await.unwrap();
            assert_eq!(stored_body(store, &key).await.unwrap().unwrap(), body);
        }
    });
}

/// Servers that are to tell names, and have none, tell `?`. Before 7.0 there are no names.
fn servers_without_a_name_are_found_by_their_addresses(runtime: &Runtime, cluster: &Cluster) {
    if is_before_7() {
        return;
    }
    let tell_all = |command: &str| {
        for port in cluster.ports() {
            tell::<()>(port, command);
        }
    };
    tell_all("CONFIG SET cluster-preferred-endpoint-type hostname");
    let store = RedisStore::open(&cluster.url()).unwrap();
    runtime.block_on(async {
        for number in 0..20 {
            execute(&store, &format!("nameless-{number}"), "paid").await.unwrap();
        }
    });
    tell_all("CONFIG SET cluster-preferred-endpoint-type ip");
}

fn the_rights_that_the_documentation_names_are_enough(runtime: &Runtime, cluster: &Cluster) {
    let commands = "+ping +get +getrange +set +pttl +pexpire +del +unlink +eval +evalsha +cluster|slots +asking";
    for port in cluster.ports() {
        tell::<()>(port, &format!("ACL SETUSER shop on >hunter2 ~idempotency:* {commands}"));
    }
    let store = RedisStore::open(&cluster.url().replace("://", "://shop:hunter2@")).unwrap();
    runtime.block_on(async {
        for number in 0..20 {
            execute(&store, &format!("rights-{number}"), vec![number; 5000]).await.unwrap();
        }
    });
}

/// The name of the record that there is under a fresh key, and the port of the server that has it.
fn place(cluster: &Cluster, names: impl Fn(u16) -> Vec<String>) -> (String, u16) {
    let found =
        cluster.primary_ports().into_iter().find_map(|port| Some((names(port).pop()?, port)));
    found.expect("the record is there")
}

fn a_slot_may_move_under_a_record(runtime: &Runtime, cluster: &Cluster, store: &RedisStore) {
    for port in cluster.primary_ports() {
        tell::<()>(port, "FLUSHALL");
    }
    let reserved = |key: &str| match runtime.block_on(store.reserve(&request(key))).unwrap() {
        Reservation::Acquired(lease) => lease,
        Reservation::Found(found) => panic!("{key}: {found:?}"),
    };
    let lease = reserved("moving");
    let (name, from) = place(cluster, |port| tell(port, "KEYS idempotency:*"));
    let slot: u16 = tell(from, &format!("CLUSTER KEYSLOT {name}"));
    let to = cluster.primary_ports().into_iter().find(|port| *port != from).unwrap();
    let id = |port| tell::<String>(port, "CLUSTER MYID");

    tell::<()>(to, &format!("CLUSTER SETSLOT {slot} IMPORTING {}", id(from)));
    tell::<()>(from, &format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(to)));
    // The record has not moved yet.
    assert_eq!(runtime.block_on(store.renew(&lease)).unwrap(), Settlement::Applied);
    // And now it has, while the slot has not.
    tell::<()>(from, &format!("MIGRATE 127.0.0.1 {to} {name} 0 1000"));
    assert_eq!(runtime.block_on(store.renew(&lease)).unwrap(), Settlement::Applied);
    assert_eq!(runtime.block_on(store.release(&lease)).unwrap(), Settlement::Applied);
    // A record that is new is made where the slot goes to, and so is its body.
    let lease = reserved("moving");
    assert_eq!(place(cluster, |port| tell(port, "KEYS idempotency:*")), (name.clone(), to));
    let large = response(vec![7; 5000]);
    let completed = runtime.block_on(store.complete(&lease, &large, RETENTION)).unwrap();
    assert_eq!(completed, Settlement::Applied);
    let body = runtime.block_on(stored_body(store, "moving")).unwrap();
    assert_eq!(body.as_deref(), Some(large.bytes()));

    for port in cluster.primary_ports() {
        tell::<()>(port, &format!("CLUSTER SETSLOT {slot} NODE {}", id(to)));
    }
    let body = runtime.block_on(stored_body(store, "moving")).unwrap();
    assert_eq!(body.as_deref(), Some(large.bytes()), "after the slot has moved");

    // It moves back: the record is still here and the body would be there. That waits until both
    // are in one place.
    tell::<()>(to, "FLUSHALL");
    let lease = reserved("moving");
    tell::<()>(from, &format!("CLUSTER SETSLOT {slot} IMPORTING {}", id(to)));
    tell::<()>(to, &format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(from)));
    let completing = {
        let (store, large) = (store.clone(), large.clone());
        let completing = async move { store.complete(&lease, &large, RETENTION).await };
        runtime.spawn(completing)
    };
    until("a body that is there", || tell::<usize>(from, "DBSIZE") == 1);
    assert!(!completing.is_finished());
    tell::<()>(to, &format!("MIGRATE 127.0.0.1 {from} {name} 0 1000"));
    assert_eq!(runtime.block_on(completing).unwrap().unwrap(), Settlement::Applied);
    for port in cluster.primary_ports() {
        tell::<()>(port, &format!("CLUSTER SETSLOT {slot} NODE {}", id(from)));
    }
    let body = runtime.block_on(stored_body(store, "moving")).unwrap();
    assert_eq!(body.as_deref(), Some(large.bytes()), "after the slot has moved back");
}

fn fails_over(
    runtime: &Runtime,
    cluster: &mut Cluster,
    store: &RedisStore,
    (how, patience): (&str, Duration),
    end: impl FnOnce(&mut Cluster) -> u16,
) {
    let mut keys = Vec::new();
    for number in 0..50 {
        keys.push(runtime.block_on(stored(store, &format!("{how}-{number}"), HEALED)));
    }
    // The replicas have it all.
    cluster.heal();

    let traffic = runtime.block_on(async { Traffic::start(store, patience) });
    let start = Instant::now();
    let lost = end(cluster);
    runtime.block_on(the_other_servers_serve(store, &keys));
    cluster.moved_from(lost);
    let moved = start.elapsed();
    runtime.block_on(async {
        // All servers have some of these.
        for key in &keys {
            served(HEALED, async || stored_body(store, key).await).await;
        }
        // Whatever else were to fail now would be counted.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let Account { calls, failed, healed, slowest } = traffic.since(start).await;
        eprintln!(
            "cluster, {how}: moved after {moved:?}, healed after {healed:?}; {failed} of {calls} failed, the slowest took \
             {slowest:?}"
        );
        assert!(healed < HEALED, "{how}: {healed:?}");
        assert!(slowest < BOUND, "{how}: {slowest:?}");
        for key in &keys {
            let body = served(HEALED, async || stored_body(store, key).await).await;
            assert_eq!(body.as_deref(), Some(key.as_bytes()), "{how}");
        }
    });
    cluster.heal();
}

/// Two thirds of the keys are theirs, more or less.
async fn the_other_servers_serve(store: &RedisStore, keys: &[String]) {
    let asked = keys.iter().map(|key| {
        let (store, key) = (store.clone(), key.clone());
        tokio::spawn(async move { stored_body(&store, &key).await.is_ok() })
    });
    let mut served = 0;
    for asked in asked.collect::<Vec<_>>() {
        served += usize::from(asked.await.unwrap());
    }
    assert!(served * 3 > keys.len(), "{served} of {}", keys.len());
}

fn one_server_is_enough_to_find_the_others(runtime: &Runtime, cluster: &mut Cluster) {
    let seed = cluster.primary_ports()[0];
    let store = RedisStore::cluster([format!("redis://127.0.0.1:{seed}")]).unwrap();
    runtime.block_on(store.ping()).unwrap();
    let lost = cluster.kill_primary();
    assert_eq!(lost, seed);
    cluster.moved_from(lost);
    for number in 0..20 {
        runtime.block_on(stored(&store, &format!("seed-{number}"), BACK));
    }
    cluster.heal();
}

fn a_cluster_that_is_gone_leaves_nothing_behind(
    runtime: &Runtime,
    cluster: &mut Cluster,
    store: &RedisStore,
) {
    runtime.block_on(store.ping()).unwrap();
    cluster.kill_all();
    let start = Instant::now();
    // A connection that was lost shows with the next command.
    while runtime.block_on(store.ping()).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(2));
    }
    runtime.leaves_nothing_behind(store);
    cluster.heal();
    for number in 0..20 {
        runtime.block_on(stored(store, &format!("back-{number}"), BACK));
    }
}

/// The last part, because clients without a password are rejected afterwards.
fn credentials_are_used(runtime: &Runtime, cluster: &Cluster) {
    for port in cluster.ports() {
        tell::<()>(port, "CONFIG SET masterauth hunter2");
        tell::<()>(port, "CONFIG SET requirepass hunter2");
    }
    let without = RedisStore::open(&cluster.url()).unwrap();
    assert!(runtime.block_on(without.ping()).is_err());
    let with = RedisStore::open(&cluster.url().replace("://", "://:hunter2@")).unwrap();
    runtime.block_on(async {
        for number in 0..20 {
            execute(&with, &format!("password-{number}"), "paid").await.unwrap();
        }
    });
    let wrong = RedisStore::open(&cluster.url().replace("://", "://:hunter3@")).unwrap();
    let rejected = runtime.block_on(wrong.ping()).unwrap_err();
    assert!(!format!("{rejected:?} {rejected} {wrong:?}").contains("hunter"), "{rejected:?}");
}

#[test]
fn a_malformed_list_is_rejected_and_so_is_a_wrong_url() {
    for url in [
        "redis+cluster://",
        "redis+cluster://:hunter2@127.0.0.1:7000/1",
        "redis+sentinel://127.0.0.1",
    ] {
        let rejected = RedisStore::open(url).unwrap_err();
        let reason = rejected.to_string();
        assert!(!reason.is_empty() && !reason.contains("hunter"), "{reason}");
    }
    assert!(RedisStore::cluster([] as [&str; 0]).is_err());
    assert!(RedisStore::cluster(["redis://127.0.0.1:7000/1"]).is_err());
    assert!(RedisStore::cluster(["127.0.0.1"]).is_err());
    assert!(
        RedisStore::sentinel([] as [&str; 0], "orders", RedisConnectionInfo::default()).is_err()
    );
    assert!(
        RedisStore::sentinel(["redis://127.0.0.1"], "", RedisConnectionInfo::default()).is_err()
    );
}

#[test]
fn a_server_that_is_not_a_cluster_is_an_error() {
    let server = RedisServer::start();
    let runtime = Runtime::new("no cluster");
    let store = RedisStore::open(&server.url().replace("redis:", "redis+cluster:")).unwrap();
    let rejected = runtime.block_on(store.ping()).unwrap_err();
    assert!(
        rejected.source().unwrap().to_string().contains("cluster support disabled"),
        "{rejected:?}"
    );
}
