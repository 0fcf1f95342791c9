//! What the store says when its URL leads to the wrong place: enough to correct it.

use std::time::Duration;

use tokio::net::TcpListener;
use tower_idempotency::RedisStore;
use tower_idempotency::store::{Store, StoreError, StoreErrorKind};

use crate::support::redis::fake::Fake;
use crate::support::redis::traffic::request;
use crate::support::redis::{Cluster, RedisServer, SentinelGroup};

/// The error of the first request to a store with this URL.
async fn first(url: &str) -> StoreError {
    let error = RedisStore::open(url).unwrap().reserve(&request("first")).await.unwrap_err();
    assert!(!format!("{error:?}").contains("hunter"), "{error:?}");
    error
}

/// The error contains each of these words. A user who does not see its source needs them.
#[track_caller]
fn says(error: &StoreError, kind: StoreErrorKind, words: &[&str]) {
    assert_eq!(error.kind(), kind, "{error:?}");
    for word in words {
        assert!(error.to_string().contains(word), "{word}: {error:?}");
    }
}

const OUTAGE: StoreErrorKind = StoreErrorKind::Unavailable;
const WRONG: StoreErrorKind = StoreErrorKind::Configuration;

async fn free_port() -> u16 {
    Fake::listener().await.1
}

#[tokio::test]
async fn an_address_where_nothing_listens_is_named() {
    let port = free_port().await;
    let at = format!("listens at 127.0.0.1:{port}: check the host and the port");
    let error = first(&format!("redis://me:hunter2@127.0.0.1:{port}")).await;
    says(&error, OUTAGE, &["no server", &at]);
    let error = first(&format!("redis+cluster://:hunter2@127.0.0.1:{port}")).await;
    says(&error, OUTAGE, &["no server", &at]);
    let error = first(&format!("redis+sentinel://:hunter2@127.0.0.1:{port}/orders")).await;
    says(&error, OUTAGE, &["no sentinel", &at]);
    let error = first("unix:///nowhere/redis.sock").await;
    says(&error, OUTAGE, &["no server listens at /nowhere/redis.sock"]);
}

#[tokio::test]
async fn a_host_without_an_address_is_named() {
    for url in ["redis://no-such-host.invalid:7101", "redis+cluster://no-such-host.invalid:7101"] {
        let error = first(url).await;
        says(&error, OUTAGE, &["the host `no-such-host.invalid` of the server has no address"]);
    }
    let error = first("redis+sentinel://no-such-host.invalid/orders").await;
    says(&error, OUTAGE, &["the host `no-such-host.invalid` of the sentinel has no address"]);
}

#[tokio::test]
async fn a_server_that_is_silent_or_closes_is_an_outage_and_is_named() {
    for closes in [false, true] {
        let (listener, port) = Fake::listener().await;
        let accepting = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((socket, _)) = listener.accept().await {
                open.extend((!closes).then_some(socket));
            }
        });
        for scheme in SCHEMES {
            let error = first(&format!("{scheme}://127.0.0.1:{port}")).await;
            let at = format!("the server at 127.0.0.1:{port} cannot be reached");
            says(&error, OUTAGE, &[&at]);
        }
        accepting.abort();
    }
}

#[cfg(feature = "redis-tls-rustls")]
const SCHEMES: [&str; 2] = ["redis", "rediss"];
#[cfg(not(feature = "redis-tls-rustls"))]
const SCHEMES: [&str; 1] = ["redis"];

/// Replies to anything as an HTTP server does to what it does not know.
async fn http_server() -> u16 {
    let (listener, port) = Fake::listener().await;
    tokio::spawn(axum::serve(listener, axum::Router::new()).into_future());
    port
}

#[tokio::test]
async fn a_server_of_http_is_not_redis() {
    let port = http_server().await;
    let at = format!("what listens at 127.0.0.1:{port} speaks HTTP, and is not a server of Redis");
    for scheme in SCHEMES {
        says(&first(&format!("{scheme}://127.0.0.1:{port}")).await, WRONG, &[&at]);
    }
    let error = first(&format!("redis+sentinel://127.0.0.1:{port}/orders")).await;
    says(&error, WRONG, &["speaks HTTP, and is not a sentinel of Redis"]);
    let error = first(&format!("redis+cluster://127.0.0.1:{port}")).await;
    says(&error, WRONG, &[&at]);
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_server_of_postgres_is_not_redis() {
    let server = crate::support::postgres::PostgresServer::start();
    for scheme in SCHEMES {
        let error = first(&format!("{scheme}://127.0.0.1:{}", server.port())).await;
        says(&error, WRONG, &["speaks the protocol of PostgreSQL, and is not a server of Redis"]);
    }
}

#[tokio::test]
async fn a_server_of_something_else_does_not_speak_the_protocol_of_redis() {
    let (listener, port) = Fake::listener().await;
    let _fake = Fake::start(listener, |_| (Duration::ZERO, "220 mail.example ESMTP\r\n".into()));
    let error = first(&format!("redis://127.0.0.1:{port}")).await;
    let at = format!("what listens at 127.0.0.1:{port} does not speak the protocol of Redis");
    says(&error, OUTAGE, &[&at]);
}

/// A warm connection is not looked at again: what fails then is an outage.
#[tokio::test]
async fn a_server_that_was_connected_to_is_not_taken_for_another() {
    let mut server = RedisServer::start();
    let store = RedisStore::open(&server.url()).unwrap();
    store.ping().await.unwrap();
    server.kill();
    let listener = TcpListener::bind(("127.0.0.1", server.port())).await.unwrap();
    tokio::spawn(axum::serve(listener, axum::Router::new()).into_future());
    let failed = async {
        loop {
            let error = store.reserve(&request("second")).await.unwrap_err();
            if error.to_string().contains("what listens at") {
                return error;
            }
        }
    };
    says(&crate::support::patiently(failed).await, OUTAGE, &["does not speak"]);
}

#[tokio::test]
async fn a_server_that_is_alone_is_not_a_sentinel_and_not_a_cluster() {
    let server = RedisServer::start();
    let port = server.port();
    let error = first(&format!("redis+sentinel://127.0.0.1:{port}/orders")).await;
    let at = format!("the server at 127.0.0.1:{port} is not a sentinel");
    says(&error, WRONG, &[&at, "26379"]);
    let error = first(&format!("redis+cluster://127.0.0.1:{port}")).await;
    says(&error, WRONG, &["not in a cluster: use `redis://`"]);
}

#[tokio::test]
async fn a_group_that_the_sentinels_do_not_know_is_named() {
    let group = SentinelGroup::start();
    let port = group.sentinel_ports()[0];
    let error = first(&format!("redis+sentinel://127.0.0.1:{port}/oders")).await;
    let at = format!("the sentinels at 127.0.0.1:{port} know no group `oders`");
    says(&error, OUTAGE, &[&at]);
}

#[tokio::test]
async fn one_server_of_a_cluster_says_that_it_is_one() {
    let cluster = Cluster::start();
    let mut errors = Vec::new();
    for port in cluster.primary_ports() {
        let store = RedisStore::open(&format!("redis://127.0.0.1:{port}")).unwrap();
        errors.extend(store.reserve(&request("first")).await.err());
    }
    assert!(!errors.is_empty());
    for error in errors {
        says(&error, OUTAGE, &["is one of a cluster: use `redis+cluster://`"]);
    }
}

#[tokio::test]
async fn credentials_and_a_database_that_the_server_rejects_are_told_with_its_address() {
    let server = RedisServer::start();
    let at = |words: &str| format!("the server at 127.0.0.1:{} {words}", server.port());
    let url = |credentials: &str| server.url().replace("://", &format!("://{credentials}"));
    says(
        &first(&format!("{}/99", server.url())).await,
        WRONG,
        &[&at("does not have the database")],
    );
    server.tell::<()>("ACL SETUSER limited on >hunter2 ~idempotency:* +get");
    let error = first(&url("limited:hunter2@")).await;
    says(&error, WRONG, &["the user may not use a command or a name: it needs", "+evalsha"]);
    server.tell::<()>("CONFIG SET requirepass hunter3");
    says(&first(&server.url()).await, WRONG, &[&at("requires a password: put the user")]);
    says(&first(&url(":hunter4@")).await, WRONG, &[&at("rejects the user or the password")]);
}

#[cfg(feature = "redis-tls-rustls")]
#[tokio::test]
async fn a_server_without_tls_is_told_before_the_request_is_given_up() {
    let server = RedisServer::start();
    let url = server.url().replace("redis:", "rediss:");
    let begun = std::time::Instant::now();
    let store = RedisStore::open(&url).unwrap();
    let error = tower_idempotency::IdempotencyLayer::new(store).check().await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    let at = format!("the server at 127.0.0.1:{} does not speak TLS", server.port());
    says(&error, WRONG, &[&at, "begin the URL with `redis`"]);
    server.tell::<()>("CONFIG SET requirepass hunter2");
    says(&first(&url.replace("://", "://:hunter2@")).await, WRONG, &[&at]);
}

#[cfg(feature = "redis-tls-rustls")]
#[tokio::test]
async fn a_server_with_tls_only_is_told() {
    let made = crate::support::certificates::Certificates::made();
    let server = crate::support::redis::TlsServer::start(&made.server, &made.server_key);
    let Some(server) = server else { return };
    let url = server.url().replace("rediss:", "redis:");
    says(&first(&url).await, WRONG, &["speaks TLS: begin the URL with `rediss`"]);
    // The certificate is of no authority that is trusted.
    let error = first(&server.url()).await;
    let at = format!("the certificate of the server at {}", &server.url()["rediss://".len()..]);
    says(&error, WRONG, &[&at, "trusted", "`RedisStore::server`"]);
    assert!(format!("{error:?}").contains("UnknownIssuer"), "{error:?}");
}
