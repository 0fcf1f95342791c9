//! A server that accepts TLS.

use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use tower_idempotency::PostgresStore;
use tower_idempotency::store::{Store, StoreErrorKind};

use crate::support::certificates::Certificates;
use crate::support::postgres::PostgresServer;

#[tokio::test]
async fn the_store_works_over_tls_and_trusts_the_authority_that_it_is_given() {
    let made = Certificates::made();
    let server = PostgresServer::start_with_tls(&made.server, &made.server_key);
    let verified: PgConnectOptions = server.url().parse().unwrap();
    let verified = verified.ssl_mode(PgSslMode::VerifyFull);
    let store = |options: &PgConnectOptions| {
        PostgresStore::new(PgPoolOptions::new().connect_lazy_with(options.clone()))
    };

    let trusting = store(&verified.clone().ssl_root_cert_from_pem(made.authority.into_bytes()));
    trusting.migrate().await.unwrap();
    let found = trusting.check().await.unwrap();
    assert!(found.iter().any(|item| item.name == "TLS" && item.found == "on"), "{found:?}");

    store(&verified).ping().await.unwrap_err();
}

#[tokio::test]
async fn a_layer_does_not_open_for_a_server_whose_certificate_is_not_trusted() {
    let made = Certificates::made();
    let server = PostgresServer::start_with_tls(&made.server, &made.server_key);
    let verified: PgConnectOptions = server.url().parse().unwrap();
    let verified = verified.ssl_mode(PgSslMode::VerifyFull);
    let store = PostgresStore::new(PgPoolOptions::new().connect_lazy_with(verified));
    for error in [store.ping().await.unwrap_err(), store.check().await.unwrap_err()] {
        assert_eq!(error.kind(), StoreErrorKind::Configuration, "{error:?}");
        assert!(error.to_string().contains("its certificate must be"), "{error:?}");
    }
}

#[tokio::test]
async fn a_layer_does_not_open_for_a_server_without_tls() {
    let server = PostgresServer::start();
    let required: PgConnectOptions = server.url().parse().unwrap();
    let required = required.ssl_mode(PgSslMode::Require);
    let store = PostgresStore::new(PgPoolOptions::new().connect_lazy_with(required));
    for error in [store.ping().await.unwrap_err(), store.check().await.unwrap_err()] {
        assert_eq!(error.kind(), StoreErrorKind::Configuration, "{error:?}");
    }
}
