//! How a slow Redis server and the layer's `store_timeout` interact, and how soon a store finds the
//! next primary.
//!
//! ```text
//! patience [healing]
//! ```

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use tokio::time::{sleep, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_idempotency::store::Store;
use tower_idempotency::{IdempotencyLayer, RedisStore, Scope};

use crate::redis::fake::{Fake, all_slots_at, fine};
use crate::redis::traffic::request;
use crate::redis::{Cluster, SentinelGroup};

const SLOW: Duration = Duration::from_millis(1500);

pub(crate) async fn run(arguments: &[&str]) {
    match arguments {
        [] => slow_servers().await,
        ["healing"] => healing().await,
        other => panic!("what is {other:?}?"),
    }
}

async fn slow_servers() {
    println!("{:24} {:>12} {:>16} {:>8} {:>8}", "", "1.5 s for", "store_timeout", "status", "ms");
    for words in ["one server", "Sentinel", "Cluster"] {
        for slow in ["HELLO", "SENTINEL", "CLUSTER", "SET"] {
            if (slow == "SENTINEL" && words != "Sentinel")
                || (slow == "CLUSTER" && words != "Cluster")
            {
                continue;
            }
            for store_timeout in [Duration::from_secs(5), Duration::from_millis(200)] {
                let (_fakes, store) = servers(words, slow).await;
                let (status, took) = pay(store, store_timeout).await;
                println!(
                    "{words:24} {slow:>12} {store_timeout:>16?} {:>8} {:>8}",
                    status.as_u16(),
                    took.as_millis()
                );
            }
        }
    }
}

async fn servers(how: &str, slow: &'static str) -> (Vec<Fake>, RedisStore) {
    let delay = move |words: &[String]| if words[0] == slow { SLOW } else { Duration::ZERO };
    let (listener, port) = Fake::listener().await;
    let server = Fake::start(listener, move |words| match words[0].as_str() {
        "ROLE" => (delay(words), "*1\r\n$6\r\nmaster\r\n".to_owned()),
        "CLUSTER" => (delay(words), all_slots_at("127.0.0.1", port)),
        _ => (delay(words), fine(words)),
    });
    let url = server.url();
    match how {
        "Sentinel" => {
            let sentinel = Fake::start(Fake::listener().await.0, move |words| {
                let address =
                    format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.to_string().len());
                (delay(words), if words[0] == "SENTINEL" { address } else { fine(words) })
            });
            let url = format!("{}/orders", sentinel.url().replace("redis:", "redis+sentinel:"));
            (vec![server, sentinel], RedisStore::open(&url).unwrap())
        }
        "Cluster" => {
            (vec![server], RedisStore::open(&url.replace("redis:", "redis+cluster:")).unwrap())
        }
        _ => (vec![server], RedisStore::open(&url).unwrap()),
    }
}

async fn pay(store: RedisStore, store_timeout: Duration) -> (StatusCode, Duration) {
    let handler =
        service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::from("paid"))));
    let layer =
        IdempotencyLayer::new(store).scope(|_| Scope::anonymous()).store_timeout(store_timeout);
    let request =
        Request::post("/").header("idempotency-key", "order-1001").body(Body::empty()).unwrap();
    let start = Instant::now();
    let response = layer.layer(handler).ready().await.unwrap().call(request).await.unwrap();
    (response.status(), start.elapsed())
}

/// Kills or stops the primary. Eight callers retry until they succeed.
async fn healing() {
    println!(
        "{:24} {:>10} {:>16} {:>16} {:>10}",
        "primary", "", "moved after s", "served after s", "failed"
    );
    for _ in 0..2 {
        for how in ["killed", "stopped"] {
            let mut group = tokio::task::spawn_blocking(SentinelGroup::start).await.unwrap();
            let store = RedisStore::open(&group.url()).unwrap();
            let account = heal(&store, || {
                let port =
                    if how == "killed" { group.kill_primary() } else { group.stop_primary() };
                move || {
                    group.moved_from(port);
                    group
                }
            });
            print("Sentinel", how, account.await);
        }
        for how in ["killed", "stopped"] {
            let mut cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
            let store = RedisStore::open(&cluster.url()).unwrap();
            let account = heal(&store, || {
                let port =
                    if how == "killed" { cluster.kill_primary() } else { cluster.stop_primary() };
                move || {
                    cluster.moved_from(port);
                    cluster
                }
            });
            print("Cluster", how, account.await);
        }
    }
}

fn print(what: &str, how: &str, (moved, served, failed): (Duration, Duration, usize)) {
    println!(
        "{what:24} {how:>10} {:>16.2} {:>16.2} {failed:>10}",
        moved.as_secs_f64(),
        served.as_secs_f64()
    );
}

/// The time until the servers had a new primary, the time until the last caller succeeded, and the
/// number of failed calls.
async fn heal<Servers: Send + 'static, M: FnOnce() -> Servers + Send + 'static>(
    store: &RedisStore,
    end: impl FnOnce() -> M,
) -> (Duration, Duration, usize) {
    for number in 0..100 {
        store.reserve(&request(&format!("before-{number}"))).await.unwrap();
    }
    let moved = end();
    let start = Instant::now();
    let moved = tokio::task::spawn_blocking(move || {
        let servers = moved();
        (start.elapsed(), servers)
    });
    // Each key has another slot. 24 keys cover all three servers of a cluster.
    let callers = (0..24).map(|caller| {
        let store = store.clone();
        tokio::spawn(async move {
            for attempt in 0.. {
                let key = format!("caller-{caller}");
                if let Ok(Ok(_)) =
                    timeout(Duration::from_secs(2), store.reserve(&request(&key))).await
                {
                    return (start.elapsed(), attempt);
                }
                sleep(Duration::from_millis(10)).await;
            }
            unreachable!()
        })
    });
    let (mut served, mut failed) = (Duration::ZERO, 0);
    for caller in callers.collect::<Vec<_>>() {
        let (took, attempts) = caller.await.unwrap();
        served = served.max(took);
        failed += attempts;
    }
    let (moved, _servers) = moved.await.unwrap();
    (moved, served, failed)
}
