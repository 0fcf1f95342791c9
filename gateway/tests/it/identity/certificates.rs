use hyper::StatusCode;

use super::authority::Authority;
use super::client::Client;
use super::program::{Folder, Gateway};
use super::site::Upstream;

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
    // What is not guarded needs none.
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
