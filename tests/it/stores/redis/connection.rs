//! How the Redis store makes its connection, and when it gives it up.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tower_idempotency::RedisStore;
use tower_idempotency::store::conformance::{Check, Promise};
use tower_idempotency::store::{Reservation, Store, StoreError, StoreErrorKind, conformance};

use crate::support::patiently;
use crate::support::redis::RedisServer;
use crate::support::redis::fake::{Fake, fine};
use crate::support::redis::traffic::{execute, request, stored_body};

const NOW: Duration = Duration::ZERO;

/// Why a server on `listener` cannot be reached, as the first caller hears it and one in the pause
/// behind it.
async fn failures(listener: TcpListener, close: bool) -> [StoreError; 2] {
    let store = RedisStore::open(&format!("redis://{}", listener.local_addr().unwrap())).unwrap();
    let accepting = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            open.extend((!close).then_some(socket));
        }
    });
    let (first, second) = (request("first"), request("second"));
    let failed =
        [store.reserve(&first).await, store.reserve(&second).await].map(Result::unwrap_err);
    accepting.abort();
    failed
}

#[tokio::test]
async fn a_server_that_is_not_reached_has_carried_nothing_out() {
    for close in [false, true] {
        let (listener, _) = Fake::listener().await;
        for failed in failures(listener, close).await {
            assert_eq!(failed.kind(), StoreErrorKind::Unavailable, "{failed:?}");
            assert!(!failed.source().unwrap().to_string().is_empty());
        }
    }
}

#[tokio::test]
async fn a_caller_with_less_patience_than_the_handshake_takes_leaves_a_connection_behind() {
    let slow = |words: &[String]| {
        let delay = if words[0] == "HELLO" { Duration::from_millis(200) } else { NOW };
        (delay, fine(words))
    };
    let fake = Fake::start(Fake::listener().await.0, slow);
    let store = RedisStore::open(&fake.url()).unwrap();
    let served = async {
        while !matches!(timeout(Duration::from_millis(50), store.ping()).await, Ok(Ok(()))) {}
    };
    patiently(served).await;
    assert_eq!(fake.seen("HELLO"), 1);
}

#[tokio::test]
async fn a_reply_without_a_waiter_ends_the_silence() {
    let is_slow = Arc::new(AtomicBool::new(false));
    let slow = Arc::clone(&is_slow);
    let fake = Fake::start(Fake::listener().await.0, move |words| {
        let delay = if slow.load(Ordering::Relaxed) { Duration::from_millis(100) } else { NOW };
        (delay, fine(words))
    });
    let store = RedisStore::open(&fake.url()).unwrap();
    store.ping().await.unwrap();
    is_slow.store(true, Ordering::Relaxed);
    assert!(timeout(Duration::from_millis(20), store.ping()).await.is_err());
    // Longer than a server that owes a reply may be silent.
    sleep(Duration::from_millis(1200)).await;
    is_slow.store(false, Ordering::Relaxed);
    store.ping().await.unwrap();
    assert_eq!(fake.seen("HELLO"), 1);
}

#[tokio::test]
async fn wrong_credentials_are_tried_once_a_second() {
    let rejecting = |words: &[String]| match words[0].as_str() {
        "HELLO" => {
            (NOW, "-WRONGPASS invalid username-password pair or user is disabled.\r\n".to_owned())
        }
        _ => (NOW, fine(words)),
    };
    let fake = Fake::start(Fake::listener().await.0, rejecting);
    let store = RedisStore::open(&fake.url().replace("://", "://:hunter2@")).unwrap();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(600) {
        let failed = store.ping().await.unwrap_err();
        assert_eq!(failed.kind(), StoreErrorKind::Configuration);
        assert!(!format!("{failed:?} {:?}", failed.source()).contains("hunter"), "{failed:?}");
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(fake.seen("HELLO"), 1);
}

fn set_user(server: &RedisServer, rules: &[&str]) {
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    redis::cmd("ACL").arg("SETUSER").arg("shop").arg(rules).exec(&mut connection).unwrap();
}

/// Those that the documentation of `RedisStore::open` names for one server.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_the_rights_that_the_documentation_names_has_all_that_the_store_needs() {
    let server = RedisServer::start();
    set_user(&server, &["on", ">hunter2", "~idempotency:*"]);
    set_user(
        &server,
        &["+ping", "+get", "+getrange", "+set", "+pttl", "+pexpire", "+del", "+unlink"],
    );
    set_user(&server, &["+eval", "+evalsha"]);
    let store = RedisStore::open(&server.url().replace("://", "://shop:hunter2@")).unwrap();
    store.ping().await.unwrap();
    for (key, bytes) in [("small", 10), ("large", 100_000)] {
        execute(&store, key, vec![b'x'; bytes]).await.unwrap();
        assert_eq!(stored_body(&store, key).await.unwrap().unwrap().len(), bytes);
    }
    meets_the_contract_of_a_service(&store).await;
    let of_operators =
        ["+scan", "+dbsize", "+info", "+lrange", "+rpush", "+ltrim", "+strlen", "+time"];
    set_user(&server, &of_operators);
    conformance::run(&store, Duration::from_millis(500)).await.assert_success();
    store.stats(None).await.unwrap();
}

/// All checks but those of operators, who need further rights.
async fn meets_the_contract_of_a_service(store: &RedisStore) {
    let of_services = |check: &Check| check.promise() != Some(Promise::Intervene);
    let mut running = tokio::task::JoinSet::new();
    for check in conformance::checks().filter(of_services) {
        let store = store.clone();
        running.spawn(async move { check.run(&store, Duration::from_millis(500)).await });
    }
    for checked in running.join_all().await {
        checked.unwrap_or_else(|failure| panic!("{failure}"));
    }
    let error = store.stats(None).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Configuration, "{error}");
}

/// The command in the guide, as it is copied.
#[tokio::test(flavor = "multi_thread")]
async fn the_access_rule_of_the_guide_is_enough_for_the_store_and_for_nothing_else() {
    let guide = include_str!("../../../../src/guide/threat_model.md");
    let rule = guide.split_once("ACL SETUSER payments ").unwrap().1.split("```").next().unwrap();
    let rule = rule.replace("PASSWORD", "hunter2");
    let server = RedisServer::start();
    set_user(&server, &rule.split_whitespace().collect::<Vec<_>>());
    let url = server.url().replace("://", "://shop:hunter2@");
    let store = RedisStore::open(&url).unwrap();
    for (key, bytes) in [("small", 10), ("large", 100_000)] {
        execute(&store, key, vec![b'x'; bytes]).await.unwrap();
        assert_eq!(stored_body(&store, key).await.unwrap().unwrap().len(), bytes);
    }
    meets_the_contract_of_a_service(&store).await;
    let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
    let rejected = [
        "GET other",
        "SET other 1",
        "FLUSHALL",
        "KEYS *",
        "CONFIG SET maxmemory 1",
        "PUBLISH other 1",
    ];
    for command in rejected {
        let mut words = command.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        let error = command.arg(words.collect::<Vec<_>>()).exec(&mut connection).unwrap_err();
        assert_eq!(error.code(), Some("NOPERM"), "{error}");
    }
}

#[tokio::test]
async fn credentials_that_became_right_are_taken_again() {
    let server = RedisServer::start();
    set_user(&server, &["on", "~*", "+@all", ">another"]);
    let store = RedisStore::open(&server.url().replace("://", "://shop:hunter2@")).unwrap();
    assert!(store.ping().await.is_err());
    set_user(&server, &[">hunter2"]);
    let taken = async {
        while store.ping().await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    patiently(taken).await;
    assert!(matches!(store.reserve(&request("right")).await.unwrap(), Reservation::Acquired(_)));
}
