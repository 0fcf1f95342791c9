use std::sync::Arc;

use hyper::StatusCode;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, HandshakeKind};

use super::authority::Authority;
use super::client::{Client, trusting};
use super::program::{Folder, Gateway};
use super::site::Upstream;
use super::tls;

fn start(authority: &Authority, upstream: &Upstream, more: &str) -> Gateway {
    let folder = Folder::new();
    let server = authority.server();
    folder.write("server.pem", &server.certificate);
    folder.write("server.key", &server.key);
    folder.write("clients.pem", &authority.pem);
    let config = format!(
        r#"
        upstream = "{}"
        store = "memory"
        [tls]
        certificate = "server.pem"
        key = "server.key"
        client_ca = "clients.pem"
        {more}
        [[route]]
        path = "/payments"
        scope = {{ client_certificate = true }}
        "#,
        upstream.url
    );
    Gateway::start(folder, &config)
}

#[tokio::test]
async fn a_key_belongs_to_the_subject_of_the_certificate() {
    let (authority, upstream) = (Authority::new("ca"), Upstream::start().await);
    let gateway = start(&authority, &upstream, "");
    for (name, expected) in [("shop", "1"), ("till", "2"), ("shop", "1"), ("till", "2")] {
        // A new certificate each time, as after a renewal.
        let identity = authority.client(name);
        let client = Client::trusting(&authority, Some(&identity));
        let response = client.pay(&gateway.url, "key", &[]).await;
        assert_eq!((response.status, &*response.text), (StatusCode::CREATED, expected), "{name}");
    }
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_client_without_a_certificate_has_no_keys() {
    let (authority, upstream) = (Authority::new("ca"), Upstream::start().await);
    let gateway = start(&authority, &upstream, "");
    let client = Client::trusting(&authority, None);
    let response = client.pay(&gateway.url, "key", &[]).await;
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    assert!(response.text.contains("idempotency_scope_missing"), "{}", response.text);
    assert!(!response.headers.contains_key("www-authenticate"));
    assert_eq!(upstream.requests().len(), 0);
    // An unguarded request needs none.
    assert_eq!(client.get(&format!("{}/other", gateway.url)).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_gets_no_connection() {
    let (authority, upstream) = (Authority::new("ca"), Upstream::start().await);
    let gateway = start(&authority, &upstream, "");
    let stranger = Authority::new("ca");
    for identity in [stranger.client("shop"), authority.expired_client("shop")] {
        let client = Client::trusting(&authority, Some(&identity));
        assert!(client.try_to_pay(&gateway.url, "key", &[]).await.is_err());
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn a_certificate_can_be_required_of_all() {
    let (authority, upstream) = (Authority::new("ca"), Upstream::start().await);
    let gateway = start(&authority, &upstream, "require_client_certificate = true");
    let without = Client::trusting(&authority, None);
    assert!(without.try_to_pay(&gateway.url, "key", &[]).await.is_err());
    let identity = authority.client("shop");
    let client = Client::trusting(&authority, Some(&identity));
    assert_eq!(client.pay(&gateway.url, "key", &[]).await.text, "1");
}

/// How a client that was here before shakes hands.
async fn second_handshake(gateway: &Gateway, config: ClientConfig) -> Option<HandshakeKind> {
    let connector = TlsConnector::from(Arc::new(config));
    let mut kind = None;
    for _ in 0..2 {
        let stream = TcpStream::connect(gateway.address()).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut stream = connector.connect(name, stream).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.unwrap();
        assert!(response.starts_with(b"HTTP/1.1 201"), "{response:?}");
        kind = stream.get_ref().1.handshake_kind();
    }
    kind
}

#[tokio::test]
async fn a_certificate_is_verified_in_each_handshake() {
    let (authority, upstream) = (Authority::new("ca"), Upstream::start().await);
    let identity = authority.client("shop");
    let gateway = start(&authority, &upstream, "");
    let kind = second_handshake(&gateway, trusting(&authority, Some(&identity))).await;
    assert_eq!(kind, Some(HandshakeKind::Full));
    // Where there is nothing to verify again, sessions are resumed.
    let without = tls::start(&authority, &upstream, "");
    let kind = second_handshake(&without, trusting(&authority, None)).await;
    assert_eq!(kind, Some(HandshakeKind::Resumed));
}
