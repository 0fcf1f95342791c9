//! What clients can cause in a Redis, such as a full memory, is not an outage: nothing runs twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, Pipeline, RedisFuture, Value};
use tower::ServiceExt;
use tower_idempotency::store::operator::ListFilter;
use tower_idempotency::store::{
    Lease, NotRetained, Outcome, Reservation, Settlement, State, Store, StoreError, StoreErrorKind,
    StoredBody,
};
use tower_idempotency::{IdempotencyLayer, OnOutage, RedisStore, Scope};

use crate::support::patiently;
use crate::support::redis::operated::{Pages, carried_out, failed, release, respond, seen};
use crate::support::redis::traffic::{RETENTION, request, response};
use crate::support::redis::{Cluster, RedisServer, SentinelGroup};

/// As large as in the attack: it passes by itself, and does not fit.
const LARGE: usize = 900_000;

/// Servers of one kind.
trait Servers {
    fn start() -> Self;
    fn url(&self) -> String;
    fn ports(&self) -> Vec<u16>;

    /// Leaves so many bytes of memory to each. At 0 a server takes no command that needs any.
    fn leave(&self, bytes: u64) {
        for port in self.ports() {
            let account: String = ask(port, "INFO memory");
            let used = account.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
            let bound = if bytes == 0 { 1 } else { used.trim().parse::<u64>().unwrap() + bytes };
            ask::<()>(port, &format!("CONFIG SET maxmemory {bound}"));
        }
    }
}

fn ask<T: redis::FromRedisValue>(port: u16, command: &str) -> T {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
    let mut words = command.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    command.arg(words.collect::<Vec<_>>()).query(&mut client.get_connection().unwrap()).unwrap()
}

impl Servers for RedisServer {
    fn start() -> Self {
        Self::start()
    }

    fn url(&self) -> String {
        self.url()
    }

    fn ports(&self) -> Vec<u16> {
        vec![self.port()]
    }
}

impl Servers for SentinelGroup {
    fn start() -> Self {
        Self::start()
    }

    fn url(&self) -> String {
        self.url()
    }

    fn ports(&self) -> Vec<u16> {
        self.server_ports()
    }
}

impl Servers for Cluster {
    fn start() -> Self {
        Self::start()
    }

    fn url(&self) -> String {
        self.url()
    }

    fn ports(&self) -> Vec<u16> {
        self.ports()
    }
}

/// Payments whose handler is counted, behind one layer.
struct Payments {
    app: Router,
    runs: Arc<AtomicUsize>,
}

impl Payments {
    fn over(store: impl Store, policy: OnOutage) -> Self {
        let runs = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&runs);
        let handler = move |bytes: String| {
            counter.fetch_add(1, Ordering::SeqCst);
            std::future::ready((StatusCode::CREATED, "x".repeat(bytes.parse().unwrap())))
        };
        let layer = IdempotencyLayer::new(store).scope(|_| Scope::anonymous()).on_outage(policy);
        Self { app: Router::new().route("/", post(handler)).layer(layer), runs }
    }

    fn failing_open(store: impl Store) -> Self {
        Self::over(store, OnOutage::FailOpenRiskingDoubleEffects)
    }

    async fn pay(&self, key: &str, bytes: usize) -> Response<Body> {
        let request =
            Request::post("/").header("idempotency-key", key).body(Body::from(bytes.to_string()));
        patiently(self.app.clone().oneshot(request.unwrap())).await.unwrap()
    }

    /// The status of a payment, and the code of its problem document.
    async fn rejection(&self, key: &str, bytes: usize) -> (u16, String) {
        let response = self.pay(key, bytes).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        (status, problem["code"].as_str().unwrap().to_owned())
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
}

fn unavailable() -> (u16, String) {
    (503, "idempotency_store_unavailable".to_owned())
}

fn not_retained() -> (u16, String) {
    (409, "idempotency_result_not_retained".to_owned())
}

async fn a_full_server_opens_nothing<S: Servers>() {
    let servers = S::start();
    let payments = Payments::failing_open(RedisStore::open(&servers.url()).unwrap());
    assert_eq!(payments.pay("before", 10).await.status(), StatusCode::CREATED);
    servers.leave(0);
    for _ in 0..3 {
        assert_eq!(payments.rejection("order-1001", LARGE).await, unavailable());
    }
    assert_eq!(payments.pay("before", 10).await.headers()["x-idempotent-result"], "true");
    assert_eq!(payments.runs(), 1);
}

/// The default policy: the reservation fits, and the response does not.
async fn a_response_that_does_not_fit_is_not_retained_and_does_not_run_again<S: Servers>() {
    for policy in [OnOutage::FailClosed, OnOutage::FailOpenRiskingDoubleEffects] {
        let servers = S::start();
        let payments = Payments::over(RedisStore::open(&servers.url()).unwrap(), policy);
        assert_eq!(payments.pay("before", 10).await.status(), StatusCode::CREATED);
        servers.leave(600_000);
        let first = payments.pay("order-1001", LARGE).await;
        assert_eq!(first.status(), StatusCode::CREATED);
        assert_eq!(first.into_body().collect().await.unwrap().to_bytes().len(), LARGE);
        for _ in 0..2 {
            assert_eq!(payments.rejection("order-1001", LARGE).await, not_retained());
        }
        assert_eq!(payments.runs(), 2);
    }
}

async fn acquire(store: &RedisStore, key: &str) -> Lease {
    match store.reserve(&request(key)).await.unwrap() {
        Reservation::Acquired(lease) => lease,
        Reservation::Found(record) => panic!("{record:?} was in the way"),
    }
}

fn bare() -> Outcome {
    Outcome::new(StatusCode::CREATED, StoredBody::NotRetained(NotRetained::Rejected))
}

async fn applied(settled: impl Future<Output = Result<Settlement, StoreError>>) {
    assert_eq!(settled.await.unwrap(), Settlement::Applied);
}

/// Whatever runs when the memory is used up, and however it ends.
async fn every_attempt_is_ended_at_maxmemory<S: Servers>() {
    let servers = S::start();
    let store = RedisStore::open(&servers.url()).unwrap();
    let large = response(vec![b'x'; LARGE]);
    // One attempt of each key, or the second of a key whose first has failed.
    let begun = async |key: &str, attempt: u32| {
        for _ in 1..attempt {
            let lease = acquire(&store, key).await;
            applied(store.fail(&lease, Some(&response("first")), RETENTION)).await;
        }
        acquire(&store, key).await
    };
    let (succeeded, failed) = (begun("succeeded", 1).await, begun("failed", 1).await);
    let (small, again) = (begun("small", 1).await, begun("again", 2).await);
    let (released, put_back) = (begun("released", 1).await, begun("put-back", 2).await);
    let (gone, renewed) = (begun("gone", 1).await, begun("renewed", 1).await);
    applied(store.release(&gone)).await;

    servers.leave(0);
    for lease in [&succeeded, &again, &gone] {
        let rejected = store.complete(lease, &large, RETENTION).await.unwrap_err();
        assert_eq!(rejected.kind(), StoreErrorKind::Full, "{rejected:?}");
    }
    let rejected = store.fail(&failed, Some(&large), RETENTION).await.unwrap_err();
    assert_eq!(rejected.kind(), StoreErrorKind::Full, "{rejected:?}");
    // No record points to a body that is not there.
    for lease in [&succeeded, &again, &failed] {
        let record = store.inspect(&lease.key).await.unwrap().unwrap();
        assert!(matches!(record.state, State::Pending { abandoned: false }), "{record:?}");
    }
    assert!(store.inspect(&gone.key).await.unwrap().is_none());

    for lease in [&succeeded, &again, &gone] {
        applied(store.complete(lease, &bare(), RETENTION)).await;
    }
    applied(store.fail(&failed, Some(&bare()), RETENTION)).await;
    applied(store.complete(&small, &response("small"), RETENTION)).await;
    applied(store.renew(&renewed)).await;
    applied(store.release(&released)).await;
    applied(store.release(&put_back)).await;
    let state =
        async |lease: &Lease| store.inspect(&lease.key).await.unwrap().map(|record| record.state);
    for lease in [&succeeded, &again, &gone] {
        assert!(matches!(state(lease).await, Some(State::Success(found)) if found == bare()));
    }
    assert!(matches!(state(&failed).await, Some(State::Failed(Some(found))) if found == bare()));
    assert!(
        matches!(state(&small).await, Some(State::Success(found)) if found == response("small"))
    );
    assert!(state(&released).await.is_none());
    assert!(matches!(state(&put_back).await, Some(State::Failed(Some(_)))));
}

/// The script writes its audit entry too.
async fn an_operator_intervenes_at_maxmemory<S: Servers>() {
    let servers = S::start();
    let store = RedisStore::open(&servers.url()).unwrap();
    let mut found = Vec::new();
    for key in ["released", "small", "large", "again"] {
        let key = failed(&store, key).await.unwrap();
        found.push(seen(&store, &key).await);
    }
    let [released, small, large, again] = &found[..] else { panic!("four records") };
    carried_out(&store, &respond(again, 1, &bare())).await;
    let again = seen(&store, &again.key).await;

    servers.leave(0);
    carried_out(&store, &release(released, 1)).await;
    carried_out(&store, &respond(small, 1, &response("small"))).await;
    carried_out(&store, &respond(&again, 2, &response("small"))).await;
    let rejected = store.intervene(&respond(large, 1, &response(vec![b'x'; LARGE]))).await;
    assert_eq!(rejected.unwrap_err().kind(), StoreErrorKind::Full);
    assert!(seen(&store, &large.key).await.is_as_seen(large));
    assert_eq!(store.show(&large.key).await.unwrap().history, []);

    for (key, entries) in [(released.key, 1), (small.key, 1), (again.key, 2)] {
        assert_eq!(store.show(&key).await.unwrap().history.len(), entries);
    }
    assert!(store.inspect(&released.key).await.unwrap().is_none());
    let records = Pages::of(&store, ListFilter::new(), 2).all().await;
    let successes = records.iter().filter(|info| info.state.word() == "success").count();
    assert_eq!((records.len(), successes), (3, 2));
}

macro_rules! on_each {
    ($($name:ident)*) => {
        on_each!(@ one_server RedisServer $($name)*);
        on_each!(@ sentinel SentinelGroup $($name)*);
        on_each!(@ cluster Cluster $($name)*);
    };
    (@ $kind:ident $servers:ident $($name:ident)*) => {
        mod $kind {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::$name::<super::$servers>().await;
                }
            )*
        }
    };
}

on_each! {
    a_full_server_opens_nothing
    a_response_that_does_not_fit_is_not_retained_and_does_not_run_again
    every_attempt_is_ended_at_maxmemory
    an_operator_intervenes_at_maxmemory
}

/// As a server whose policy evicts records would.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_evicted_before_its_record_is_written_is_not_retained() {
    let server = RedisServer::start();
    let client = redis::Client::open(server.url()).unwrap();
    let connection = client.get_multiplexed_async_connection().await.unwrap();
    let store = RedisStore::with_connection(Altered {
        connection,
        reads_bodies: true,
        stores_bodies: false,
    });
    let payments = Payments::failing_open(store);
    assert_eq!(payments.pay("order-1001", 5_000).await.status(), StatusCode::CREATED);
    assert_eq!(payments.rejection("order-1001", 5_000).await, not_retained());
    assert_eq!(payments.runs(), 1);
}

/// Nothing runs, and the client gets 503. The kind tells what to fix.
async fn opens_nothing(store: RedisStore, kind: StoreErrorKind) {
    let rejected = store.reserve(&request("key")).await.unwrap_err();
    assert_eq!(rejected.kind(), kind, "{rejected:?}");
    let payments = Payments::failing_open(store);
    for _ in 0..3 {
        assert_eq!(payments.rejection("order-1001", 10).await, unavailable());
    }
    assert_eq!(payments.runs(), 0);
}

#[tokio::test]
async fn a_name_with_another_use_opens_nothing() {
    let server = RedisServer::start();
    let store = RedisStore::open(&server.url()).unwrap();
    let lease = acquire(&store, "key").await;
    let names = server.names();
    let payments = Payments::failing_open(store.clone());
    assert_eq!(payments.pay("order-1001", 10).await.status(), StatusCode::CREATED);
    for name in server.names() {
        let name = String::from_utf8(name).unwrap();
        server.tell::<()>(&format!("DEL {name}"));
        server.tell::<()>(&format!("RPUSH {name} item"));
    }
    assert_eq!((names.len(), server.size()), (1, 2));
    for _ in 0..3 {
        assert_eq!(payments.rejection("order-1001", 10).await, unavailable());
    }
    assert_eq!(payments.runs(), 1);
    let failed = [
        store.reserve(&request("key")).await.map(drop),
        store.inspect(&lease.key).await.map(drop),
        store.renew(&lease).await.map(drop),
        store.release(&lease).await.map(drop),
        store.complete(&lease, &response("small"), RETENTION).await.map(drop),
        store.complete(&lease, &response(vec![b'x'; 5_000]), RETENTION).await.map(drop),
    ];
    for failed in failed {
        assert_eq!(failed.unwrap_err().kind(), StoreErrorKind::Corrupt);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_the_rights_opens_nothing() {
    for rules in [
        "~idempotency:* +@all -set -eval -evalsha",
        "~idempotency:* +@all -@write",
        "~other:* +@all",
        "~idempotency:*",
    ] {
        let server = RedisServer::start();
        server.tell::<()>(&format!("ACL SETUSER limited on >secret {rules}"));
        let store = RedisStore::open(&server.url().replace("://", "://limited:secret@")).unwrap();
        opens_nothing(store, StoreErrorKind::Configuration).await;
        assert_eq!(server.size(), 0);
    }
}

#[tokio::test]
async fn wrong_credentials_open_nothing() {
    let server = RedisServer::start();
    let url = server.url();
    for rules in ["shop on >secret ~* +@all", "default >secret"] {
        server.tell::<()>(&format!("ACL SETUSER {rules}"));
    }
    for credentials in ["", "shop:wrong@", "nobody:secret@"] {
        for protocol in ["", "?protocol=resp2"] {
            let url = format!("{}{protocol}", url.replace("://", &format!("://{credentials}")));
            opens_nothing(RedisStore::open(&url).unwrap(), StoreErrorKind::Configuration).await;
        }
    }
    let url = format!("{}/99", url.replace("://", "://shop:secret@"));
    opens_nothing(RedisStore::open(&url).unwrap(), StoreErrorKind::Configuration).await;
}

/// Clients who ask for large bodies can hold up the connection that these pass through.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_record_was_found_does_not_run_again_while_its_body_cannot_be_read() {
    let server = RedisServer::start();
    let client = redis::Client::open(server.url()).unwrap();
    let connection = client.get_multiplexed_async_connection().await.unwrap();
    let store = RedisStore::with_connection(Altered {
        connection,
        reads_bodies: false,
        stores_bodies: true,
    });
    let payments = Payments::failing_open(store);
    assert_eq!(payments.pay("order-1001", 5_000).await.status(), StatusCode::CREATED);
    for _ in 0..2 {
        assert_eq!(payments.rejection("order-1001", 5_000).await, unavailable());
    }
    assert_eq!(payments.runs(), 1);
}

/// A connection on which bodies do not fare as records do.
#[derive(Clone)]
struct Altered {
    connection: MultiplexedConnection,
    /// Otherwise the reply to such a read never comes.
    reads_bodies: bool,
    /// Otherwise they are gone as soon as they are written.
    stores_bodies: bool,
}

impl ConnectionLike for Altered {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        if !self.reads_bodies && command.get_packed_command().starts_with(b"*2\r\n$3\r\nGET\r\n") {
            return Box::pin(std::future::pending());
        }
        self.connection.req_packed_command(command)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let writes_body =
                pipeline.get_packed_pipeline().windows(5).any(|window| window == b"body:");
            if self.stores_bodies || !writes_body {
                return self.connection.req_packed_commands(pipeline, offset, count).await;
            }
            let script = pipeline.cmd_iter().last().unwrap();
            Ok(vec![Value::Okay, self.connection.req_packed_command(script).await?])
        })
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}
