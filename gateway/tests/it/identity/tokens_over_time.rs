use std::net::SocketAddr;
use std::sync::Arc;

use hyper::StatusCode;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Duration, Instant, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;

use super::authority::{Authority, Identity, Signer};
use super::client::Response;
use super::program::{Folder, Gateway, PATIENCE};
use super::site::{KeySite, Upstream};
use super::tokens::{SUB, config, is_invalid, pay, start};

/// Asks until a token gets this status. The gateway fetches a set at most once in ten seconds.
async fn until(gateway: &Gateway, token: &str, status: StatusCode) -> Response {
    let begun = Instant::now();
    loop {
        let response = pay(gateway, "key", token).await;
        if response.status == status {
            return response;
        }
        assert!(begun.elapsed() < PATIENCE, "{response:?}\n{}", gateway.log());
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn keys_are_fetched_when_their_server_comes() {
    let (signer, upstream) = (Signer::new("1"), Upstream::start().await);
    let site = KeySite::start(signer.set()).await;
    site.stop();
    let rules = format!("jwt = {{ jwks = \"{}\" }}", site.url());
    let gateway = start(Folder::new(), &upstream, &rules, SUB);
    let response = pay(&gateway, "key", &signer.token(&[])).await;
    assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.text.contains("token_keys_unavailable"), "{}", response.text);
    assert_eq!(response.headers["retry-after"], "10");
    assert_eq!(upstream.requests().len(), 0);
    gateway.wait_for_log("the key set cannot be fetched", 1);
    let _site = KeySite::start_at(site.address, signer.set()).await;
    assert_eq!(until(&gateway, &signer.token(&[]), StatusCode::CREATED).await.text, "1");
}

/// A server with a key set, over TLS, with this certificate.
async fn tls_site(server: &Identity, text: String) -> SocketAddr {
    let chain = vec![CertificateDer::from_pem_slice(server.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(server.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
            let _ = stream.write_all(format!("{head}{text}").as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

#[tokio::test]
async fn keys_over_tls_come_from_a_server_that_is_trusted() {
    let (signer, upstream) = (Signer::new("1"), Upstream::start().await);
    let (trusted, stranger) = (Authority::new("ca"), Authority::new("ca"));
    for (authority, expected) in
        [(&trusted, StatusCode::CREATED), (&stranger, StatusCode::SERVICE_UNAVAILABLE)]
    {
        let address = tls_site(&authority.server(), signer.set()).await;
        let folder = Folder::new();
        folder.write("roots.pem", &trusted.pem);
        let rules = format!("jwt = {{ jwks = \"https://{address}/\" }}");
        let config = config(&upstream, &rules, SUB);
        let roots = [("SSL_CERT_FILE", "roots.pem")];
        let gateway = Gateway::start_in(folder, &config, &roots);
        let response = pay(&gateway, "key", &signer.token(&[])).await;
        assert_eq!(response.status, expected, "{}", gateway.log());
    }
}

#[tokio::test]
async fn keys_change_and_stay_when_their_server_goes() {
    let [old, new, unknown] = ["old", "new", "unknown"].map(Signer::new);
    let upstream = Upstream::start().await;
    let site = KeySite::start(old.set()).await;
    let rules = format!("jwt = {{ jwks = \"{}\" }}", site.url());
    let gateway = start(Folder::new(), &upstream, &rules, SUB);
    assert_eq!(pay(&gateway, "key", &old.token(&[])).await.text, "1");

    site.serve(new.set());
    assert_eq!(until(&gateway, &new.token(&[]), StatusCode::CREATED).await.text, "1");
    assert!(is_invalid(&pay(&gateway, "key", &old.token(&[])).await));
    assert!(is_invalid(&pay(&gateway, "key", &unknown.token(&[])).await));

    site.serve("garbage".to_owned());
    until(&gateway, &unknown.token(&[]), StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(pay(&gateway, "key", &new.token(&[])).await.text, "1");

    // A reload does not lose the keys either.
    site.stop();
    gateway.folder.write(
        "gateway.toml",
        &format!("listen = \"127.0.0.1:0\"\n{} # changed", config(&upstream, &rules, SUB)),
    );
    gateway.wait_for_log("the file was read again", 1);
    assert_eq!(pay(&gateway, "key", &new.token(&[])).await.text, "1");
    assert_eq!(upstream.requests().len(), 1);
}
