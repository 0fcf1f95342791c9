use hyper::StatusCode;
use tokio::time::{Duration, Instant, sleep};

use super::authority::Signer;
use super::client::Response;
use super::program::{Folder, Gateway, PATIENCE};
use super::site::{KeySite, Upstream};
use super::tokens::{SUB, is_invalid, pay, start};

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
        &format!(
            "listen = \"127.0.0.1:0\"\nupstream = \"{}\"\nstore = \"memory\"\n{rules}\n\
             [[route]]\npath = [\"/payments\", \"/more\"]\nscope = {SUB}\n",
            upstream.url
        ),
    );
    gateway.wait_for_log("the file was read again", 1);
    assert_eq!(pay(&gateway, "key", &new.token(&[])).await.text, "1");
    assert_eq!(upstream.requests().len(), 1);
}
