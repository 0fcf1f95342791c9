#![allow(clippy::unwrap_used)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use jsonwebtoken::{Algorithm, Header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A set with one key of this name.
fn a_set(id: &str) -> String {
    let x = "A".repeat(43);
    let keys = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"{id}","x":"{x}"}}]}}"#);
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{keys}", keys.len())
}

/// A server whose response the test chooses.
struct Site {
    url: String,
    /// Absent: the connection is closed without a response. Empty: it stays open.
    response: Mutex<Option<String>>,
    requests: AtomicUsize,
}

impl Site {
    async fn with(response: &str) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let site = Arc::new(Self {
            url: format!("http://{}/jwks?secret=1", listener.local_addr().unwrap()),
            response: Mutex::new(Some(response.to_owned())),
            requests: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&site);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await;
                serving.requests.fetch_add(1, Ordering::SeqCst);
                let response = serving.response.lock().unwrap().clone();
                match response {
                    Some(text) if text.is_empty() => {
                        tokio::spawn(async move {
                            let _ = stream.read(&mut [0; 1]).await;
                        });
                    }
                    // A client that has read enough closes the connection.
                    Some(text) => drop(stream.write_all(text.as_bytes()).await),
                    None => {}
                }
            }
        });
        site
    }

    fn respond_with(&self, response: Option<String>) {
        *self.response.lock().unwrap() = response;
    }

    fn fetcher(&self) -> Fetcher {
        Fetcher::new(&self.url, Duration::from_millis(500)).unwrap()
    }

    fn server(&self, rest: Duration, every: Duration) -> KeyServer {
        KeyServer::new(self.fetcher(), Pace { rest, every, limit: PACE.limit }, true)
    }
}

fn has(server: &KeyServer, id: &str) -> bool {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(id.to_owned());
    server.known().is_some_and(|set| set.fitting(&header).next().is_some())
}

async fn until(server: &KeyServer, is_so: impl FnMut(&State) -> bool) {
    let mut state = server.state.clone();
    tokio::time::timeout(Duration::from_secs(20), state.wait_for(is_so)).await.unwrap().unwrap();
}

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_set_that_cannot_be_used_is_an_error() {
    let site = Site::with(&a_set("1")).await;
    let other = Site::with(&a_set("1")).await;
    assert!(site.fetcher().fetch().await.is_ok());
    let large = "a".repeat(300 << 10);
    for (response, expected) in [
        (Some("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>".to_owned()), "Key Set"),
        (Some("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"keys\":[".to_owned()), "Key Set"),
        (Some("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_owned()), "status 500"),
        (Some(format!("HTTP/1.1 302 Found\r\nlocation: {}\r\n\r\n", other.url)), "status 302"),
        (
            Some(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{large}", large.len())),
            "limit",
        ),
        (Some("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_owned()), ""),
        (Some(String::new()), "within"),
        (None, ""),
    ] {
        site.respond_with(response.clone());
        let error = site.fetcher().fetch().await.unwrap_err();
        assert!(error.contains(expected), "{response:?}: {error}");
    }
    assert_eq!(other.requests.load(Ordering::SeqCst), 0, "a redirect was followed");
}

#[test]
fn an_address_has_a_host_and_no_user() {
    let fetcher = |url: &str| Fetcher::new(url, HOUR);
    assert_eq!(fetcher("https://a.example/jwks?secret=1").unwrap().name(), "a.example/jwks");
    for wrong in ["ftp://a/b", "https://", "https://user:sesame@a/b", "https:///b"] {
        let error = fetcher(wrong).unwrap_err();
        assert!(!error.contains("sesame"), "{error}");
    }
}

#[tokio::test]
async fn a_set_is_fetched_once_for_all_that_ask() {
    let site = Site::with(&a_set("1")).await;
    let server = Arc::new(site.server(HOUR, HOUR));
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let server = Arc::clone(&server);
            tokio::spawn(async move { server.refresh().await })
        })
        .collect();
    for one in asking {
        one.await.unwrap();
    }
    assert!(has(&server, "1"));
    // It rests for an hour, so these return at once.
    for _ in 0..100 {
        server.refresh().await;
    }
    assert_eq!(site.requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_new_key_is_found_when_a_token_asks_for_it() {
    let site = Site::with(&a_set("1")).await;
    let server = site.server(Duration::from_millis(10), HOUR);
    until(&server, |state| state.phase == Phase::Waits).await;
    assert!(has(&server, "1") && !has(&server, "2"));
    site.respond_with(Some(a_set("2")));
    server.refresh().await;
    assert!(has(&server, "2") && !has(&server, "1"));
    assert_eq!(site.requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_set_is_fetched_from_time_to_time() {
    let site = Site::with(&a_set("1")).await;
    let server = site.server(Duration::from_millis(10), Duration::from_millis(20));
    until(&server, |state| state.fetches >= 2).await;
    site.respond_with(Some(a_set("2")));
    let seen = server.state.borrow().fetches;
    // The first of them may have begun before the change.
    until(&server, |state| state.fetches >= seen + 2).await;
    assert!(has(&server, "2"));
}

#[tokio::test]
async fn keys_stay_when_a_fetch_fails() {
    let site = Site::with(&a_set("1")).await;
    let server = site.server(Duration::from_millis(10), Duration::from_millis(20));
    until(&server, |state| state.keys.is_some()).await;
    for response in [None, Some("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n!".to_owned())] {
        site.respond_with(response);
        until(&server, |state| state.has_failed).await;
        assert!(has(&server, "1") && server.is_out_of_date());
        site.respond_with(Some(a_set("1")));
        until(&server, |state| !state.has_failed).await;
    }
    assert!(!server.is_out_of_date());
}

#[tokio::test]
async fn a_plan_closes_the_servers_that_it_does_not_use() {
    let site = Site::with(&a_set("1")).await;
    let mut servers = KeyServers::asked();
    let first = servers.open(&site.url).unwrap();
    assert!(Arc::ptr_eq(&first, &servers.open(&site.url).unwrap()));
    servers.keep(&[]);
    assert!(!Arc::ptr_eq(&first, &servers.open(&site.url).unwrap()));
}
