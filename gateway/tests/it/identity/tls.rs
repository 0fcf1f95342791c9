use std::net::SocketAddr;
use std::sync::Arc;

use hyper::{StatusCode, Version};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::authority::{Authority, Identity};
use super::client::{Client, trusting};
use super::program::{Folder, Gateway, PATIENCE};
use super::site::Upstream;

const TLS: &str = "[tls]\ncertificate = \"server.pem\"\nkey = \"server.key\"\n";

const ROUTE: &str = "[[route]]\npath = \"/payments\"\nscope = \"everyone\"\n";

pub fn start(authority: &Authority, upstream: &Upstream, more: &str) -> Gateway {
    let folder = Folder::new();
    install(&folder, &authority.server());
    let config = format!("upstream = \"{}\"\nstore = \"memory\"\n{more}{TLS}{ROUTE}", upstream.url);
    Gateway::start(folder, &config)
}

fn install(folder: &Folder, server: &Identity) {
    folder.write("server.pem", &server.certificate);
    folder.write("server.key", &server.key);
}

/// A connection with these protocols.
async fn connect(gateway: &Gateway, authority: &Authority, alpn: &[&str]) -> TlsStream<TcpStream> {
    let mut config = trusting(authority, None);
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// The certificate that a new connection gets.
async fn served(gateway: &Gateway, authority: &Authority) -> CertificateDer<'static> {
    let stream = connect(gateway, authority, &[]).await;
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

fn der(server: &Identity) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(server.certificate.as_bytes()).unwrap()
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_over_tls() {
    let (authority, upstream) = (Authority::new("ca"), Upstream::start().await);
    let gateway = start(&authority, &upstream, "");
    assert!(gateway.url.starts_with("https://"), "{}", gateway.url);
    for (client, version) in [
        (Client::trusting(&authority, None), Version::HTTP_2),
        (Client::old(&authority), Version::HTTP_11),
    ] {
        let response = client.pay(&gateway.url, &format!("{version:?}"), &[]).await;
        assert_eq!((response.status, response.version), (StatusCode::CREATED, version));
    }
    for request in upstream.requests() {
        assert_eq!(request["x-forwarded-proto"], "https");
    }
}

#[tokio::test]
async fn a_client_that_does_not_shake_hands_is_cut_off() {
    let (authority, upstream) = (Authority::new("ca"), Upstream::start().await);
    let gateway = start(&authority, &upstream, "timeouts = { head = \"100ms\" }\n");
    for said in ["", "POST /payments HTTP/1.1\r\nhost: a\r\n\r\n", "\u{16}\u{3}\u{1}"] {
        let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        let end = timeout(PATIENCE, stream.read_to_end(&mut response)).await.unwrap();
        assert!(end.is_err() || !response.starts_with(b"HTTP"), "{said:?}: {response:?}");
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn an_ambiguous_request_is_rejected_over_tls() {
    const AMBIGUOUS: &[u8] = b"POST /payments HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\
        transfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let (authority, upstream) = (Authority::new("ca"), Upstream::start().await);
    let gateway = start(&authority, &upstream, "");
    for alpn in [&[][..], &["http/1.1"], &["h2"], &["h2", "http/1.1"]] {
        let mut stream = connect(&gateway, &authority, alpn).await;
        stream.write_all(AMBIGUOUS).await.unwrap();
        let mut response = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut response)).await.unwrap();
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            // A client that has chosen HTTP/2 cannot speak HTTP/1.1.
            assert!(!response.starts_with(b"HTTP"), "{response:?}");
        } else {
            assert!(response.starts_with(b"HTTP/1.1 400"), "{alpn:?}: {response:?}");
        }
    }
    assert_eq!(upstream.requests().len(), 0);
}

async fn until_served(gateway: &Gateway, authority: &Authority, expected: &Identity) {
    let begun = Instant::now();
    while served(gateway, authority).await != der(expected) {
        assert!(begun.elapsed() < PATIENCE, "the new certificate is not used: {}", gateway.log());
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_new_certificate_is_followed_without_a_restart() {
    let (authority, upstream) = (Authority::new("ca"), Upstream::start().await);
    let gateway = start(&authority, &upstream, "");
    let client = Client::old(&authority);
    assert_eq!(client.pay(&gateway.url, "1", &[]).await.text, "1");

    let renewed = authority.server();
    // Both files of a pair cannot change at once.
    gateway.folder.write("server.pem", &renewed.certificate);
    gateway.wait_for_log("the settings before it stay", 1);
    assert_ne!(served(&gateway, &authority).await, der(&renewed));
    gateway.folder.write("server.key", &renewed.key);
    until_served(&gateway, &authority, &renewed).await;

    // Neither the connection nor the records are gone.
    assert_eq!(client.pay(&gateway.url, "1", &[]).await.text, "1");
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_bad_certificate_changes_nothing() {
    let (authority, upstream) = (Authority::new("ca"), Upstream::start().await);
    let gateway = start(&authority, &upstream, "");
    let before = served(&gateway, &authority).await;
    for (times, (file, text)) in (1..).zip([
        ("server.pem", "no certificate"),
        ("server.pem", authority.server().certificate.as_str()),
        ("server.key", ""),
    ]) {
        gateway.folder.write(file, text);
        gateway.wait_for_log("the settings before it stay", times);
        assert_eq!(served(&gateway, &authority).await, before);
    }
    let (good, log) = (authority.server(), gateway.log());
    assert!(log.contains("gateway.toml:4: "), "{log}");
    assert!(log.contains("server.pem: the file contains no certificate"), "{log}");
    install(&gateway.folder, &good);
    until_served(&gateway, &authority, &good).await;
}

/// An upstream that echoes after a change of the protocol.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        let head =
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let (mut from, mut to) = stream.split();
        tokio::io::copy(&mut from, &mut to).await.unwrap();
    });
    address
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn a_connection_over_tls_can_change_its_protocol() {
    let authority = Authority::new("ca");
    let upstream = Upstream::elsewhere(echo().await);
    let operators = "operators = { listen = \"127.0.0.1:0\" }\n";
    let gateway = start(&authority, &upstream, operators);
    let mut stream = connect(&gateway, &authority, &["http/1.1"]).await;
    let request = b"GET /a HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let head = read_head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    // What looks like an ambiguous request is not one any more.
    let said = b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n";
    for _ in 0..100 {
        stream.write_all(said).await.unwrap();
        let mut echoed = vec![0; said.len()];
        timeout(PATIENCE, stream.read_exact(&mut echoed)).await.unwrap().unwrap();
        assert_eq!(echoed, said);
    }
    until_counted(&gateway, "tunnels 1").await;
    stream.shutdown().await.unwrap();
    until_counted(&gateway, "tunnels 0").await;
    until_counted(&gateway, "connections 0").await;
}

async fn until_counted(gateway: &Gateway, expected: &str) {
    let url = format!("{}/metrics", gateway.operators.as_ref().unwrap());
    let (client, begun) = (Client::plain(), Instant::now());
    while !client.get(&url).await.text.contains(&format!("\nidempotency_gateway_{expected}\n")) {
        assert!(begun.elapsed() < PATIENCE, "not {expected}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn tls_can_begin_without_a_restart() {
    let (authority, upstream) = (Authority::new("ca"), Upstream::start().await);
    let folder = Folder::new();
    install(&folder, &authority.server());
    let config = format!("upstream = \"{}\"\nstore = \"memory\"\n", upstream.url);
    let gateway = Gateway::start(folder, &format!("{config}{ROUTE}"));
    assert_eq!(Client::plain().pay(&gateway.url, "1", &[]).await.text, "1");
    let listen = "listen = \"127.0.0.1:0\"\n";
    gateway.folder.write("gateway.toml", &format!("{listen}{config}{TLS}{ROUTE}"));
    gateway.wait_for_log("the file was read again", 1);
    let url = gateway.url.replace("http:", "https:");
    assert_eq!(Client::trusting(&authority, None).pay(&url, "1", &[]).await.text, "1");
}
