//! How long the Redis store waits: as long as the layer says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use http::{Request, StatusCode};
use redis::ProtocolVersion;
use tokio::time::sleep;
use tower::ServiceExt;
use tower_idempotency::store::{Reservation, Store, StoreErrorKind, conformance};
use tower_idempotency::{IdempotencyLayer, RedisStore, Scope};

use crate::support::patiently;
use crate::support::redis::RedisServer;
use crate::support::redis::fake::{Fake, all_slots_at, fine};
use crate::support::redis::traffic::{execute, request, stored_body};

const NOW: Duration = Duration::ZERO;
const SLOW: Duration = Duration::from_millis(1500);
const FOREVER: Duration = Duration::from_hours(1);

#[derive(Debug, Clone, Copy)]
enum How {
    One,
    Sentinel,
    Cluster,
}

const ALL: [How; 3] = [How::One, How::Sentinel, How::Cluster];

/// The servers that a store needs, which take this long for each command, and its URL.
async fn servers(
    how: How,
    delay: impl Fn(&[String]) -> Duration + Clone + Send + Sync + 'static,
) -> (Vec<Fake>, String) {
    let (listener, port) = Fake::listener().await;
    let takes = delay.clone();
    let server = Fake::start(listener, move |words| match words[0].as_str() {
        "ROLE" => (takes(words), "*1\r\n$6\r\nmaster\r\n".to_owned()),
        "CLUSTER" => (takes(words), all_slots_at("127.0.0.1", port)),
        _ => (takes(words), fine(words)),
    });
    match how {
        How::One => {
            let url = server.url();
            (vec![server], url)
        }
        How::Sentinel => {
            let sentinel = sentinel(move |words| (delay(words), port)).await;
            let url = orders(&sentinel);
            (vec![server, sentinel], url)
        }
        How::Cluster => {
            let url = server.url().replace("redis:", "redis+cluster:");
            (vec![server], url)
        }
    }
}

/// A sentinel that names the server at this port, so much later.
async fn sentinel(named: impl Fn(&[String]) -> (Duration, u16) + Send + Sync + 'static) -> Fake {
    Fake::start(Fake::listener().await.0, move |words| {
        let (delay, port) = named(words);
        let port = port.to_string();
        let address = format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len());
        (delay, if words[0] == "SENTINEL" { address } else { fine(words) })
    })
}

fn orders(sentinel: &Fake) -> String {
    format!("{}/orders", sentinel.url().replace("redis:", "redis+sentinel:"))
}

/// The status of a payment through a layer with this timeout, and how long it took.
async fn pay(url: &str, store_timeout: Duration) -> (StatusCode, Duration) {
    let store = RedisStore::open(url).unwrap();
    let layer =
        IdempotencyLayer::new(store).scope(|_| Scope::anonymous()).store_timeout(store_timeout);
    let app = Router::new().route("/", post(async || StatusCode::CREATED)).layer(layer);
    let request =
        Request::post("/").header("idempotency-key", "order-1001").body(Body::empty()).unwrap();
    let start = Instant::now();
    let status = app.oneshot(request).await.unwrap().status();
    (status, start.elapsed())
}

/// Waits until a connection to the server is being made.
async fn is_greeted(server: &Fake) {
    let greeted = async {
        while server.seen("HELLO") == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    patiently(greeted).await;
}

#[tokio::test]
async fn a_server_that_takes_longer_than_a_second_is_waited_for_as_long_as_the_layer_says() {
    let mut cases = Vec::new();
    for how in ALL {
        let slow: &[&str] = match how {
            How::One => &["HELLO", "SET"],
            How::Sentinel => &["SENTINEL", "HELLO", "ROLE", "SET"],
            How::Cluster => &["HELLO", "CLUSTER", "SET"],
        };
        for &slow in slow {
            cases.push(tokio::spawn(async move {
                let takes = move |words: &[String]| if words[0] == slow { SLOW } else { NOW };
                let (_servers, url) = servers(how, takes).await;
                (format!("{how:?} {slow}"), pay(&url, Duration::from_secs(20)).await)
            }));
        }
    }
    for case in cases {
        let (case, (status, took)) = case.await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{case} after {took:?}");
        assert!(took >= SLOW, "{case}");
    }
}

#[tokio::test]
async fn a_server_that_takes_too_long_is_given_up_after_the_time_that_the_layer_says() {
    let store_timeout = Duration::from_millis(200);
    for how in ALL {
        for slow in ["HELLO", "SET"] {
            let takes = move |words: &[String]| if words[0] == slow { FOREVER } else { NOW };
            let (_servers, url) = servers(how, takes).await;
            let (status, took) = pay(&url, store_timeout).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{how:?} {slow}");
            // Shortly before, so that the error can name the step it waited for.
            assert!(took >= store_timeout * 15 / 16, "{how:?} {slow}: {took:?}");
            assert!(took < Duration::from_secs(2), "{how:?} {slow}: {took:?}");

            // Without a layer, the bound holds in the store.
            let store = RedisStore::open(&url).unwrap();
            store.set_timeout(store_timeout);
            let unserved = patiently(store.reserve(&request("alone"))).await.unwrap_err();
            // Nothing was sent to a server without a connection.
            let kind =
                if slow == "HELLO" { StoreErrorKind::Unavailable } else { StoreErrorKind::Timeout };
            assert_eq!(unserved.kind(), kind, "{how:?} {slow}: {unserved:?}");
        }
    }
}

#[tokio::test]
async fn a_command_goes_on_waiting_when_the_next_one_gets_a_new_connection() {
    for how in ALL {
        let takes =
            |words: &[String]| if words[0] == "SET" { Duration::from_millis(2500) } else { NOW };
        let (servers, url) = servers(how, takes).await;
        let store = RedisStore::open(&url).unwrap();
        store.set_timeout(Duration::from_mins(1));
        store.ping().await.unwrap();
        let hellos = servers[0].seen("HELLO");
        let waiting = {
            let store = store.clone();
            tokio::spawn(async move { store.reserve(&request("waits")).await })
        };
        patiently(async {
            while servers[0].seen("SET") == 0 {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        // Longer than a server may be silent that owes a reply.
        sleep(Duration::from_millis(1200)).await;
        store.ping().await.unwrap();
        assert_eq!(servers[0].seen("HELLO"), hellos + 1, "{how:?}");
        assert!(!waiting.is_finished());
        assert!(matches!(waiting.await.unwrap(), Ok(Reservation::Acquired(_))), "{how:?}");
    }
}

#[tokio::test]
async fn an_attempt_to_connect_to_a_dead_primary_is_left_when_the_sentinels_name_another() {
    let dead = Fake::start(Fake::listener().await.0, |words| (FOREVER, fine(words)));
    let (heir, heir_port) = Fake::listener().await;
    let _heir = Fake::start(heir, |words| match words[0].as_str() {
        "ROLE" => (NOW, "*1\r\n$6\r\nmaster\r\n".to_owned()),
        _ => (NOW, fine(words)),
    });
    let dead_port: u16 = dead.url().rsplit(':').next().unwrap().parse().unwrap();
    let has_moved = Arc::new(AtomicBool::new(false));
    let moved = Arc::clone(&has_moved);
    let sentinel =
        sentinel(move |_| (NOW, if moved.load(Ordering::Relaxed) { heir_port } else { dead_port }));
    let sentinel = sentinel.await;
    let store = RedisStore::open(&orders(&sentinel)).unwrap();
    store.set_timeout(FOREVER);
    let waiting = tokio::spawn(async move { store.reserve(&request("waits")).await });
    is_greeted(&dead).await;
    has_moved.store(true, Ordering::Relaxed);
    assert!(patiently(waiting).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_command_that_waits_for_a_connection_to_a_dead_server_goes_where_the_map_leads() {
    let dead = Fake::start(Fake::listener().await.0, |words| (FOREVER, fine(words)));
    let dead_port: u16 = dead.url().rsplit(':').next().unwrap().parse().unwrap();
    let (heir, heir_port) = Fake::listener().await;
    let has_moved = Arc::new(AtomicBool::new(false));
    let moved = Arc::clone(&has_moved);
    let heir = Fake::start(heir, move |words| match words[0].as_str() {
        "CLUSTER" => {
            let owner = if moved.load(Ordering::Relaxed) { heir_port } else { dead_port };
            (NOW, all_slots_at("127.0.0.1", owner))
        }
        _ => (NOW, fine(words)),
    });
    let store = RedisStore::cluster([heir.url()]).unwrap();
    store.set_timeout(FOREVER);
    let waiting = tokio::spawn(async move { store.reserve(&request("waits")).await });
    is_greeted(&dead).await;
    assert_eq!(heir.seen("SET"), 0);
    has_moved.store(true, Ordering::Relaxed);
    assert!(patiently(waiting).await.unwrap().is_ok());
    assert_eq!(heir.seen("SET"), 1);
}

#[tokio::test]
async fn a_first_packet_that_was_lost_does_not_take_the_time_of_all_callers() {
    // The first connection is never served, and the next one is.
    let (listener, port) = Fake::listener().await;
    let (behind, behind_port) = Fake::listener().await;
    let _behind = Fake::start(behind, |words| (NOW, fine(words)));
    let accepting = tokio::spawn(async move {
        let first = listener.accept().await.unwrap();
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server =
                tokio::net::TcpStream::connect(("127.0.0.1", behind_port)).await.unwrap();
            tokio::spawn(
                async move { tokio::io::copy_bidirectional(&mut client, &mut server).await },
            );
        }
        drop(first);
    });
    let store = RedisStore::open(&format!("redis://127.0.0.1:{port}")).unwrap();
    store.set_timeout(FOREVER);
    patiently(store.ping()).await.unwrap();
    accepting.abort();
}

#[tokio::test]
async fn the_protocol_is_the_one_that_the_url_names_and_resp3_where_it_names_none() {
    for how in ALL {
        for (query, hellos) in [("", 1), ("?protocol=resp3", 1), ("?protocol=resp2", 0)] {
            let (servers, url) = servers(how, |_| NOW).await;
            RedisStore::open(&format!("{url}{query}")).unwrap().ping().await.unwrap();
            assert_eq!(servers[0].seen("HELLO"), hellos, "{url}{query}");
        }
    }
}

#[tokio::test]
async fn the_protocol_can_be_set_where_there_is_no_url() {
    let (servers, _) = servers(How::Cluster, |_| NOW).await;
    let store = RedisStore::cluster([servers[0].url()]).unwrap();
    store.clone().protocol(ProtocolVersion::RESP2).prefix("shop:").ping().await.unwrap();
    assert_eq!(servers[0].seen("HELLO"), 0);
    store.ping().await.unwrap();
    assert_eq!(servers[0].seen("HELLO"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_meets_the_contract_in_resp2() {
    let server = RedisServer::start();
    let store = RedisStore::open(&format!("{}?protocol=resp2", server.url())).unwrap();
    conformance::run(&store, Duration::from_millis(500)).await.assert_success();
}

#[tokio::test]
async fn an_idle_connection_that_the_server_has_closed_is_not_used() {
    for query in ["", "?protocol=resp2"] {
        let server = RedisServer::start();
        let store = RedisStore::open(&format!("{}{query}", server.url())).unwrap();
        execute(&store, "large", vec![b'x'; 5000]).await.unwrap();
        let client = redis::Client::open(server.url()).unwrap();
        let mut admin = client.get_multiplexed_async_connection().await.unwrap();
        redis::cmd("CONFIG").arg(&["SET", "timeout", "1"]).exec_async(&mut admin).await.unwrap();
        let closed = async {
            loop {
                let clients: String =
                    redis::cmd("CLIENT").arg("LIST").query_async(&mut admin).await.unwrap();
                if clients.lines().count() == 1 {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        patiently(closed).await;
        // The first commands, on both connections: none of these is sent a second time.
        store.ping().await.unwrap();
        assert_eq!(stored_body(&store, "large").await.unwrap().unwrap().len(), 5000, "{query}");
    }
}
