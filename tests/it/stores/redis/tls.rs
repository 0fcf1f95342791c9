//! A server that speaks TLS only.

use std::error::Error;
use std::time::Duration;

use redis::{Client, TlsCertificates};
use tower_idempotency::RedisStore;
use tower_idempotency::store::{Store, StoreErrorKind, conformance};

use crate::support::certificates::Certificates;
use crate::support::redis::TlsServer;

/// Not every server that the tests run against was built with TLS.
fn server(made: &Certificates) -> Option<TlsServer> {
    let server = TlsServer::start(&made.server, &made.server_key);
    if server.is_none() {
        eprintln!("not tested: the server was built without TLS");
    }
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_meets_the_contract_over_tls_with_an_authority_of_its_own() {
    let made = Certificates::made();
    let Some(server) = server(&made) else { return };
    let authority = Some(made.authority.into_bytes());
    let certificates = TlsCertificates { client_tls: None, root_cert: authority };
    let client = Client::build_with_tls(server.url(), certificates).unwrap();
    let store = RedisStore::server(client.get_connection_info().clone()).unwrap();
    conformance::run(&store, Duration::from_millis(500)).await.assert_success();
}

#[tokio::test]
async fn a_server_whose_certificate_is_not_trusted_is_not_used() {
    let Some(server) = server(&Certificates::made()) else { return };
    let error = RedisStore::open(&server.url()).unwrap().ping().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Configuration);
    assert!(error.to_string().contains("certificate of the server"), "{error}");
    let source = error.source().unwrap().to_string();
    assert!(source.contains("UnknownIssuer"), "{source}");
}

#[tokio::test]
async fn an_untrusted_certificate_is_no_outage_by_any_kind_of_url() {
    let Some(server) = server(&Certificates::made()) else { return };
    let host = server.url().split_once("//").unwrap().1.to_owned();
    for url in [
        format!("rediss+cluster://{host}"),
        format!("rediss+sentinel://{host}/group"),
        format!("rediss://{host}"),
    ] {
        let error = RedisStore::open(&url).unwrap().ping().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Configuration, "{url}: {error:?}");
    }
}
