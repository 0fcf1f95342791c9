//! A primary that becomes a replica while it is in use, behind an address that then leads to
//! another one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use http::{Request, StatusCode};
use tokio::sync::Semaphore;
use tower::ServiceExt;
use tower_idempotency::{IdempotencyLayer, RedisStore, Scope};

use crate::support::proxy::Proxy;
use crate::support::redis::{RedisServer, until};
use crate::support::{Gate, patiently};

/// A primary and its replica, behind an address that leads to the primary.
struct Pair {
    primary: RedisServer,
    replica: RedisServer,
    address: Proxy,
}

impl Pair {
    async fn start() -> Self {
        let (primary, replica) = (RedisServer::start(), RedisServer::start());
        primary.tell::<()>("CONFIG SET repl-diskless-sync-delay 0");
        follow(&replica, &primary);
        let address = Proxy::start(primary.port()).await;
        Self { primary, replica, address }
    }

    fn open(&self) -> RedisStore {
        RedisStore::open(&self.address.url()).unwrap()
    }

    /// Waits until the replica has all acknowledged writes: this test is not about their loss.
    fn has_replicated(&self) {
        until("a replica that has everything", || self.replica.size() == self.primary.size());
    }

    /// Makes the replica the primary and the primary its replica. The connections that there are
    /// stay.
    fn swap(&self, stale_data: bool) {
        self.has_replicated();
        self.replica.tell::<()>("REPLICAOF NO ONE");
        self.address.lead_to(self.replica.port());
        if stale_data {
            follow(&self.primary, &self.replica);
        } else {
            self.primary.tell::<()>("CONFIG SET replica-serve-stale-data no");
            self.primary.tell::<()>("REPLICAOF 127.0.0.1 1");
        }
    }
}

fn follow(replica: &RedisServer, primary: &RedisServer) {
    replica.tell::<()>(&format!("REPLICAOF 127.0.0.1 {}", primary.port()));
    until("a replica in step", || {
        replica.tell::<String>("INFO replication").contains("master_link_status:up")
    });
}

fn app(store: RedisStore, lease: Duration, handler: impl Fn() -> Work) -> Router {
    let layer = IdempotencyLayer::new(store).scope(|_| Scope::anonymous()).lease(lease);
    let work = handler();
    Router::new().route("/", post(move || work.clone().run())).layer(layer)
}

/// A handler that counts its runs and waits at a gate.
#[derive(Clone)]
struct Work {
    runs: Arc<AtomicUsize>,
    entered: Arc<Semaphore>,
    gate: Gate,
}

impl Work {
    fn new() -> Self {
        Self { runs: Arc::default(), entered: Arc::new(Semaphore::new(0)), gate: Gate::new() }
    }

    async fn run(self) -> StatusCode {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.entered.add_permits(1);
        self.gate.passed().await;
        StatusCode::CREATED
    }
}

async fn call(app: &Router, key: &str) -> StatusCode {
    let request = Request::post("/").header("idempotency-key", key).body(Body::empty());
    patiently(app.clone().oneshot(request.unwrap())).await.unwrap().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demoted_primary_is_left_at_once_by_those_that_begin_and_by_those_that_replay() {
    for stale_data in [true, false] {
        let pair = Pair::start().await;
        let work = Work::new();
        work.gate.open();
        let app = app(pair.open(), Duration::from_secs(30), || work.clone());
        assert_eq!(call(&app, "before").await, StatusCode::CREATED);

        pair.swap(stale_data);
        let start = Instant::now();
        while call(&app, "after").await != StatusCode::CREATED {
            assert!(
                start.elapsed() < Duration::from_secs(3),
                "the demoted primary is still in use"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        eprintln!("left after {:?}", start.elapsed());
        assert_eq!(call(&app, "before").await, StatusCode::CREATED);
        assert_eq!(work.runs.load(Ordering::SeqCst), 2);
    }
}

/// This process sends nothing but renewals. Renewals of another process find the record renewed.
#[tokio::test(flavor = "multi_thread")]
async fn the_renewals_of_an_attempt_leave_a_demoted_primary_and_no_second_attempt_runs_beside_it() {
    const LEASE: Duration = Duration::from_millis(1500);
    for stale_data in [true, false] {
        let pair = Pair::start().await;
        let work = Work::new();
        let [one, other] = [(); 2].map(|()| app(pair.open(), LEASE, || work.clone()));
        let first = tokio::spawn({
            let one = one.clone();
            async move { call(&one, "key").await }
        });
        patiently(work.entered.acquire()).await.unwrap().forget();

        pair.swap(stale_data);
        let start = Instant::now();
        while start.elapsed() < 3 * LEASE {
            let status = call(&other, "key").await;
            assert!(
                matches!(status, StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE),
                "{status}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        work.gate.open();
        assert_eq!(first.await.unwrap(), StatusCode::CREATED);
        assert_eq!(call(&other, "key").await, StatusCode::CREATED);
        assert_eq!(work.runs.load(Ordering::SeqCst), 1);
    }
}

/// The former primary does not know that it is one. A store has reached its successor for records,
/// and still has its old connection for bodies.
#[tokio::test]
async fn a_body_that_a_former_primary_lacks_is_read_where_its_record_is() {
    let pair = Pair::start().await;
    let receipts = |store: RedisStore| {
        let layer = IdempotencyLayer::new(store).scope(|_| Scope::anonymous());
        Router::new().route("/", post(|| async { "x".repeat(5_000) })).layer(layer)
    };
    let pay = |app: &Router, key: &str| {
        let request = Request::post("/").header("idempotency-key", key).body(Body::empty());
        patiently(app.clone().oneshot(request.unwrap()))
    };
    let before = receipts(pair.open());
    for _ in 0..2 {
        assert_eq!(pay(&before, "order-1001").await.unwrap().status(), StatusCode::OK);
    }
    pair.has_replicated();
    pair.replica.tell::<()>("REPLICAOF NO ONE");
    pair.address.lead_to(pair.replica.port());
    let after = receipts(pair.open());
    assert_eq!(pay(&after, "order-1002").await.unwrap().status(), StatusCode::OK);

    // The connection for bodies has read one. The one for records has not.
    for client in pair.primary.tell::<String>("CLIENT LIST").lines() {
        if !client.contains("cmd=get ") && !client.contains("cmd=client|list ") {
            let id = client.split_once("id=").unwrap().1.split(' ').next().unwrap();
            pair.primary.tell::<i64>(&format!("CLIENT KILL ID {id}"));
        }
    }
    let replay = pay(&before, "order-1002").await.unwrap();
    assert_eq!(replay.status(), StatusCode::OK);
    assert_eq!(replay.headers()["x-idempotent-result"], "true");
}
