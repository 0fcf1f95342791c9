//! The Redis store on a group of servers under Sentinel.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use redis::RedisConnectionInfo;
use tower_idempotency::RedisStore;
use tower_idempotency::store::operator::{ListFilter, StateFilter};
use tower_idempotency::store::{Store, conformance};

use crate::support::patiently;
use crate::support::redis::fake::{Fake, fine};
use crate::support::redis::operated::{Pages, carried_out, failed, respond, seen};
use crate::support::redis::traffic::{
    Account, BACK, BOUND, IMPATIENT, PATIENT, Runtime, Traffic, execute, request, response, served,
    stored, stored_body,
};
use crate::support::redis::{SentinelGroup, is_before_7};

/// How long after the loss of a primary there may be failures. The sentinels take a second to find
/// it lost, and agree on another within one or two; the rest is for a machine that has much else to
/// do.
const HEALED: Duration = Duration::from_secs(8);

/// One group for all parts, because it is heavy. Each part leaves it whole.
#[test]
fn the_store_meets_the_contract_and_follows_the_primary() {
    let runtime = Runtime::new("sentinel");
    let mut group = SentinelGroup::start();
    let store = RedisStore::open(&group.url()).unwrap();

    runtime.block_on(conformance::run(&store, Duration::from_millis(500))).assert_success();
    operators_find_what_was_there_before_a_failover(&runtime, &mut group, &store);

    fails_over(&runtime, &mut group, &store, ("killed", PATIENT), SentinelGroup::kill_primary);
    fails_over(&runtime, &mut group, &store, ("stopped", PATIENT), SentinelGroup::stop_primary);
    fails_over(&runtime, &mut group, &store, ("by-command", PATIENT), |group| group.failover());
    fails_over(&runtime, &mut group, &store, ("impatient", IMPATIENT), SentinelGroup::stop_primary);
    an_idle_connection_to_a_demoted_primary_is_left(&runtime, &mut group);
    a_server_that_is_named_but_is_not_a_primary_is_not_used(&runtime, &mut group);
    sentinels_that_are_gone_do_not_matter(&runtime, &group);
    a_group_that_is_gone_leaves_nothing_behind(&runtime, &mut group, &store);
    credentials_are_used(&runtime, &group);
}

fn operators_find_what_was_there_before_a_failover(
    runtime: &Runtime,
    group: &mut SentinelGroup,
    store: &RedisStore,
) {
    let keys: BTreeSet<_> = runtime.block_on(async {
        let mut keys = BTreeSet::new();
        for number in 0..300 {
            keys.insert(failed(store, &format!("operated-{number}")).await.unwrap());
        }
        keys
    });
    // The replicas have it all.
    group.heal();
    let mut pages = Pages::of(store, ListFilter::new().state(StateFilter::Failed), 20);
    for _ in 0..4 {
        assert!(runtime.block_on(pages.turn()).unwrap());
    }
    assert!(!keys.is_subset(&pages.keys()));
    let primary = group.kill_primary();
    group.moved_from(primary);
    runtime.block_on(async { while served(HEALED, async || pages.turn().await).await {} });
    assert!(keys.is_subset(&pages.keys()));

    runtime.block_on(async {
        let found = seen(store, keys.first().unwrap()).await;
        carried_out(store, &respond(&found, 1, &response(vec![b'x'; 5000]))).await;
        let shown = store.show(&found.key).await.unwrap();
        assert_eq!((shown.record.unwrap().bytes, shown.history.len()), (5000, 1));
    });
    group.heal();
}

fn fails_over(
    runtime: &Runtime,
    group: &mut SentinelGroup,
    store: &RedisStore,
    (how, patience): (&str, Duration),
    end: impl FnOnce(&mut SentinelGroup) -> u16,
) {
    let mut keys = Vec::new();
    for number in 0..50 {
        keys.push(runtime.block_on(stored(store, &format!("{how}-{number}"), HEALED)));
    }
    // The replicas have it all.
    group.heal();

    let traffic = runtime.block_on(async { Traffic::start(store, patience) });
    let start = Instant::now();
    let primary = end(group);
    group.moved_from(primary);
    let moved = start.elapsed();
    runtime.block_on(async {
        served(HEALED, async || store.ping().await).await;
        // Whatever else were to fail now would be counted.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let Account { calls, failed, healed, slowest } = traffic.since(start).await;
        eprintln!(
            "sentinel, {how}: moved after {moved:?}, healed after {healed:?}; {failed} of {calls} failed, the slowest took \
             {slowest:?}"
        );
        assert!(healed < HEALED, "{how}: {healed:?}");
        assert!(slowest < BOUND, "{how}: {slowest:?}");
        for key in &keys {
            let body = served(HEALED, async || stored_body(store, key).await).await;
            assert_eq!(body.as_deref(), Some(key.as_bytes()), "{how}");
        }
    });
    group.heal();
}

fn an_idle_connection_to_a_demoted_primary_is_left(runtime: &Runtime, group: &mut SentinelGroup) {
    let store = RedisStore::open(&group.url()).unwrap();
    runtime.block_on(store.ping()).unwrap();
    let demoted = group.stop_primary();
    group.moved_from(demoted);
    group.heal();
    runtime.block_on(stored(&store, "idle", BACK));
}

/// The sentinels go on naming a server that was demoted behind their backs: another one would need
/// more votes than there are sentinels.
fn a_server_that_is_named_but_is_not_a_primary_is_not_used(
    runtime: &Runtime,
    group: &mut SentinelGroup,
) {
    let primary = group.primary_port();
    let another = group.server_ports().into_iter().find(|port| *port != primary).unwrap();
    let store = RedisStore::open(&group.url()).unwrap();
    let votes = |needed: &str| {
        for port in group.sentinel_ports() {
            tell(port, &["SENTINEL", "SET", SentinelGroup::NAME, "quorum", needed]);
        }
    };
    votes("9");
    tell(primary, &["REPLICAOF", "127.0.0.1", &another.to_string()]);
    // A replica would reply to this one.
    let rejected = runtime.block_on(store.ping()).unwrap_err();
    assert!(rejected.source().unwrap().to_string().contains("named a replica"), "{rejected:?}");
    votes("2");
    if is_before_7() {
        // The sentinels take so long to find out that both replicas have been cut off too long to
        // be promoted.
        tell(primary, &["REPLICAOF", "NO", "ONE"]);
    } else {
        group.moved_from(primary);
    }
    group.heal();
    runtime.block_on(stored(&store, "named", BACK));
}

fn sentinels_that_are_gone_do_not_matter(runtime: &Runtime, group: &SentinelGroup) {
    let mut ports = group.sentinel_ports();
    // No sentinel listens at the first address, and the second is a server, not a sentinel.
    ports[0] = 1;
    ports[1] = group.server_ports()[0];
    let sentinels = ports.iter().map(|port| format!("redis://127.0.0.1:{port}"));
    let server = RedisConnectionInfo::default();
    let store = RedisStore::sentinel(sentinels, SentinelGroup::NAME, server.clone()).unwrap();
    runtime.block_on(stored(&store, "one-sentinel", BACK));

    let sentinels = ports.iter().map(|port| format!("redis://127.0.0.1:{port}"));
    let unknown = RedisStore::sentinel(sentinels, "another", server).unwrap();
    assert!(runtime.block_on(unknown.ping()).is_err());
}

fn a_group_that_is_gone_leaves_nothing_behind(
    runtime: &Runtime,
    group: &mut SentinelGroup,
    store: &RedisStore,
) {
    runtime.block_on(store.ping()).unwrap();
    group.kill_all();
    assert!(runtime.block_on(store.ping()).is_err());
    runtime.leaves_nothing_behind(store);
    group.heal();
    runtime.block_on(stored(store, "after-all", BACK));
}

/// The last part, because clients without a password are rejected afterwards.
fn credentials_are_used(runtime: &Runtime, group: &SentinelGroup) {
    for port in group.sentinel_ports() {
        tell(port, &["SENTINEL", "SET", SentinelGroup::NAME, "auth-pass", "hunter2"]);
    }
    for port in group.server_ports() {
        tell(port, &["CONFIG", "SET", "masterauth", "hunter2"]);
        tell(port, &["CONFIG", "SET", "requirepass", "hunter2"]);
    }
    let without = RedisStore::open(&group.url()).unwrap();
    assert!(runtime.block_on(without.ping()).is_err());
    let with = RedisStore::open(&group.url().replace("://", "://:hunter2@")).unwrap();
    runtime.block_on(execute(&with, "with-password", "paid")).unwrap();
    let wrong = RedisStore::open(&group.url().replace("://", "://:hunter3@")).unwrap();
    let rejected = runtime.block_on(wrong.ping()).unwrap_err();
    assert!(!format!("{rejected:?} {rejected} {wrong:?}").contains("hunter"), "{rejected:?}");

    for port in group.sentinel_ports() {
        tell(port, &["ACL", "SETUSER", "default", "resetpass", ">watch"]);
    }
    let sentinels = |password: &str| {
        let ports = group.sentinel_ports().into_iter();
        ports.map(|port| format!("redis://{password}127.0.0.1:{port}")).collect::<Vec<_>>()
    };
    let server = RedisConnectionInfo::default().set_password("hunter2");
    let without = RedisStore::sentinel(sentinels(""), SentinelGroup::NAME, server.clone()).unwrap();
    assert!(runtime.block_on(without.ping()).is_err());
    let with = RedisStore::sentinel(sentinels(":watch@"), SentinelGroup::NAME, server).unwrap();
    runtime.block_on(execute(&with, "with-both-passwords", "paid")).unwrap();
}

#[tokio::test]
async fn a_primary_that_was_started_again_is_left_for_the_one_that_took_over() {
    const NOW: Duration = Duration::ZERO;
    let started_again = Arc::new(AtomicBool::new(false));
    let as_primary = |words: &[String]| match words[0].as_str() {
        "ROLE" => "*1\r\n$6\r\nmaster\r\n".to_owned(),
        _ => fine(words),
    };
    let ((before, before_port), (after, after_port)) =
        (Fake::listener().await, Fake::listener().await);
    let is_loading = Arc::clone(&started_again);
    let before = Fake::start(before, move |words| match words[0].as_str() {
        "SET" | "PTTL" if is_loading.load(Ordering::Relaxed) => {
            (NOW, "-LOADING Redis is loading the dataset in memory\r\n".to_owned())
        }
        _ => (NOW, as_primary(words)),
    });
    let after = Fake::start(after, move |words| (NOW, as_primary(words)));
    let has_moved = Arc::clone(&started_again);
    let sentinel = Fake::start(Fake::listener().await.0, move |words| {
        let port =
            if has_moved.load(Ordering::Relaxed) { after_port } else { before_port }.to_string();
        let address = format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len());
        (NOW, if words[0] == "SENTINEL" { address } else { fine(words) })
    });
    let store = RedisStore::open(&format!(
        "{}/orders",
        sentinel.url().replace("redis:", "redis+sentinel:")
    ));
    let store = store.unwrap();
    store.reserve(&request("before")).await.unwrap();
    assert_eq!((before.seen("SET"), after.seen("SET")), (1, 0));
    started_again.store(true, Ordering::Relaxed);
    patiently(served(BACK, async || store.reserve(&request("after")).await)).await;
    assert_eq!(after.seen("SET"), 1);
}

fn tell(port: u16, words: &[&str]) {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
    let mut connection = client.get_connection().unwrap();
    redis::cmd(words[0]).arg(&words[1..]).exec(&mut connection).unwrap();
}
