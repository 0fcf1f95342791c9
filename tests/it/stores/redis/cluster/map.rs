//! Whose word on the slots counts, and where a command goes that is sent on.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tower_idempotency::RedisStore;
use tower_idempotency::store::Store;

use crate::support::patiently;
use crate::support::redis::fake::{Fake, all_slots_at, fine};
use crate::support::redis::traffic::{BACK, request, served};

const NOW: Duration = Duration::ZERO;
/// A server with this delay is outrun by one that replies at once.
const LATER: Duration = Duration::from_millis(30);

fn store(servers: &[u16]) -> RedisStore {
    RedisStore::cluster(servers.iter().map(|port| format!("redis://127.0.0.1:{port}"))).unwrap()
}

async fn reserves(store: &RedisStore, key: &str) {
    patiently(served(BACK, async || store.reserve(&request(key)).await)).await;
}

#[tokio::test]
async fn a_server_that_knows_no_slots_does_not_come_before_those_that_do() {
    let ((blank, blank_port), (other, port)) = (Fake::listener().await, Fake::listener().await);
    let _blank = Fake::start(blank, |words| {
        (NOW, if words[0] == "CLUSTER" { "*0\r\n".to_owned() } else { fine(words) })
    });
    let store = store(&[blank_port, port]);
    // The other one does not reply yet; the connection to the blank one is open from now on.
    assert!(store.ping().await.is_err());
    let _other = Fake::start(other, move |words| {
        (NOW, if words[0] == "CLUSTER" { all_slots_at("127.0.0.1", port) } else { fine(words) })
    });
    reserves(&store, "other").await;
}

#[tokio::test]
async fn a_server_whose_error_cast_the_doubt_is_asked_last() {
    for error in [
        "-CLUSTERDOWN The cluster is down\r\n",
        "-LOADING Redis is loading the dataset in memory\r\n",
    ] {
        let has_failed_over = Arc::new(AtomicBool::new(false));
        let ((stale, stale_port), (heir, heir_port)) =
            (Fake::listener().await, Fake::listener().await);
        let rejects = Arc::clone(&has_failed_over);
        let stale = Fake::start(stale, move |words| match words[0].as_str() {
            "CLUSTER" => (NOW, all_slots_at("127.0.0.1", stale_port)),
            "SET" | "PTTL" if rejects.load(Ordering::Relaxed) => (NOW, error.to_owned()),
            _ => (NOW, fine(words)),
        });
        let has_taken_over = Arc::clone(&has_failed_over);
        let heir = Fake::start(heir, move |words| match words[0].as_str() {
            "CLUSTER" => {
                let owner =
                    if has_taken_over.load(Ordering::Relaxed) { heir_port } else { stale_port };
                (LATER, all_slots_at("127.0.0.1", owner))
            }
            _ => (NOW, fine(words)),
        });
        let store = store(&[stale_port, heir_port]);
        reserves(&store, "before").await;
        assert_eq!((stale.seen("SET"), heir.seen("SET")), (1, 0));
        has_failed_over.store(true, Ordering::Relaxed);
        reserves(&store, "after").await;
        assert_eq!(heir.seen("SET"), 1, "{error}");
    }
}

#[tokio::test]
async fn the_map_is_read_though_no_caller_has_the_patience() {
    let (listener, port) = Fake::listener().await;
    let slow = Fake::start(listener, move |words| match words[0].as_str() {
        "CLUSTER" => (Duration::from_millis(200), all_slots_at("127.0.0.1", port)),
        _ => (NOW, fine(words)),
    });
    let store = store(&[port]);
    let served = async {
        while !matches!(timeout(Duration::from_millis(50), store.ping()).await, Ok(Ok(()))) {}
    };
    patiently(served).await;
    assert_eq!((slow.seen("HELLO"), slow.seen("CLUSTER")), (1, 1));
}

/// Two servers: the first has all slots, and sends on with this message once it is told to.
async fn sends_on(
    how: fn(u16) -> String,
    asking: &'static str,
) -> (RedisStore, Arc<AtomicBool>, [Fake; 2]) {
    let moved = Arc::new(AtomicBool::new(false));
    let ((from, from_port), (to, to_port)) = (Fake::listener().await, Fake::listener().await);
    let has_moved = Arc::clone(&moved);
    let from = Fake::start(from, move |words| {
        match (words[0].as_str(), has_moved.load(Ordering::Relaxed)) {
            ("CLUSTER", _) => (NOW, all_slots_at("127.0.0.1", from_port)),
            ("SET" | "PTTL", true) => (NOW, how(to_port)),
            _ => (NOW, fine(words)),
        }
    });
    let has_moved = Arc::clone(&moved);
    let to = Fake::start(to, move |words| {
        match (words[0].as_str(), has_moved.load(Ordering::Relaxed)) {
            ("CLUSTER", true) => (LATER, all_slots_at("127.0.0.1", to_port)),
            ("CLUSTER", false) => (LATER, all_slots_at("127.0.0.1", from_port)),
            ("ASKING", _) => (NOW, asking.to_owned()),
            ("SET" | "PTTL", _) if asking.starts_with('-') => {
                (NOW, format!("-MOVED 1 127.0.0.1:{from_port}\r\n"))
            }
            _ => (NOW, fine(words)),
        }
    });
    let store = store(&[from_port, to_port]);
    reserves(&store, "before").await;
    (store, moved, [from, to])
}

#[tokio::test]
async fn a_reply_that_was_outrun_by_another_leaves_the_connection_open() {
    let (store, moved, [_from, to]) =
        sends_on(|to| format!("-MOVED 1 127.0.0.1:{to}\r\n"), "+OK\r\n").await;
    // Longer than a server that owes a reply may be silent.
    sleep(Duration::from_millis(1200)).await;
    moved.store(true, Ordering::Relaxed);
    store.reserve(&request("after")).await.unwrap();
    assert_eq!((to.seen("SET"), to.seen("HELLO")), (1, 1));
}

#[tokio::test]
async fn a_command_that_is_sent_on_to_a_server_without_a_name_finds_it_in_the_map() {
    let (store, moved, [_from, to]) =
        sends_on(|to| format!("-MOVED 1 ?:{to}\r\n"), "+OK\r\n").await;
    moved.store(true, Ordering::Relaxed);
    store.reserve(&request("after")).await.unwrap();
    assert_eq!(to.seen("SET"), 1);
}

#[tokio::test]
async fn a_server_that_will_not_be_asked_says_why() {
    let rejected = "-NOPERM User shop has no permissions to run the 'asking' command\r\n";
    let (store, moved, [_from, to]) =
        sends_on(|to| format!("-ASK 1 127.0.0.1:{to}\r\n"), rejected).await;
    moved.store(true, Ordering::Relaxed);
    let rejected = store.reserve(&request("after")).await.unwrap_err();
    assert!(rejected.source().unwrap().to_string().contains("'asking'"), "{rejected:?}");
    assert_eq!(to.seen("SET"), 1);
}
