//! A changed file under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::gateway::{Gateway, PAYMENTS, file};
use super::upstream::Upstream;

const GOOD: &str = "the file was read again";
const BAD: &str = "the settings before it stay";

/// Reloads so often, each second time with a file that is wrong.
async fn reload(times: usize) {
    let upstream = Upstream::telling().await;
    let with = |top: &str| file(&format!("\"http://{}\"", upstream.address), top, PAYMENTS);
    let gateway = Arc::new(Gateway::start(&with("")).await);
    let payment = "POST /payments/first HTTP/1.1\r\nHost: a\r\nIdempotency-Key: first\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(gateway.connect().await.ask(payment).await.text(), "/payments/first");

    let (ends, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (gateway, ends, asked) = (Arc::clone(&gateway), Arc::clone(&ends), Arc::clone(&asked));
            tokio::spawn(async move {
                let mut connection = gateway.connect().await;
                let mut number = 0;
                while !ends.load(Ordering::Relaxed) {
                    number += 1;
                    // The memory store has a place for so many keys of one caller, and then replays.
                    let number = number % 1000;
                    if number % 100 == 0 {
                        connection = gateway.connect().await;
                    }
                    let request = match number % 2 {
                        0 => format!("GET /{client}-{number} HTTP/1.1\r\nHost: a\r\n\r\n"),
                        _ => format!("POST /payments/{client}-{number} HTTP/1.1\r\nHost: a\r\nIdempotency-Key: {client}-{number}\r\nContent-Length: 0\r\n\r\n"),
                    };
                    let response = connection.ask(&request).await;
                    assert_eq!(response.status(), 200, "{response:?}");
                    assert!(response.text().ends_with(&format!("/{client}-{number}")));
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for number in 1..=times {
        let (text, told, count) = match number % 2 {
            0 => (with(&format!("limits = {{ body = {} }}", 5000 + number)), GOOD, number / 2),
            _ => (with("limits = { body = \"many\" }"), BAD, number.div_ceil(2)),
        };
        gateway.write(&text);
        gateway.signal("HUP");
        gateway.has_logged(told, count).await;
    }
    ends.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    println!("{times} reloads, {} requests", asked.load(Ordering::Relaxed));
    assert!(gateway.log().contains("gateway.toml:5: "), "{}", gateway.log());
    // What the memory store knew before all of them.
    let before = upstream.heard().matches("POST /payments/first").count();
    let replay = gateway.connect().await.ask(payment).await;
    assert_eq!((replay.text(), before), ("/payments/first".to_owned(), 1));
    assert_eq!(upstream.heard().matches("POST /payments/first").count(), 1);
}

#[tokio::test]
async fn reloads_under_load_drop_no_request() {
    reload(50).await;
}

#[tokio::test]
#[ignore = "it takes a minute: the smaller form above runs always"]
async fn a_thousand_reloads_under_load_drop_no_request() {
    reload(1000).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_followed_leaves_the_old_one() {
    let (old, new) = (
        Upstream::responding(|_| super::upstream::ok("old")).await,
        Upstream::responding(|_| super::upstream::ok("new")).await,
    );
    let with = |upstream: &Upstream, top: &str| {
        file(&format!("\"http://{}\"", upstream.address), top, PAYMENTS)
    };
    let gateway = Gateway::start(&with(&old, "")).await;
    let get = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    let wrong = [
        (with(&new, "").replace("127.0.0.1:0", "127.0.0.1:1"), "restart it"),
        (with(&new, "operators = { listen = \"127.0.0.1:0\" }"), "restart it"),
        (with(&new, "log = { level = \"debug\" }"), "`log` cannot change"),
        (with(&new, "limits = { headers = 50 }"), "`limits.headers` cannot change"),
        (with(&new, "timeouts = { drain = \"1s\" }"), "`timeouts.drain` cannot change"),
        (with(&new, "unknown = 1"), "gateway.toml:5: "),
        (with(&new, "[[["), "gateway.toml:5: "),
        (with(&new, "").replace("\"memory\"", "\"nothing\""), "gateway.toml:3: "),
        (with(&new, "").replace("http://", "ftp://"), "gateway.toml:2: "),
        (with(&new, "").replace("\"everyone\"", "\"someone\""), "gateway.toml:8: "),
        (String::new(), "`listen` is missing"),
    ];
    for (number, (text, why)) in (1..).zip(wrong) {
        gateway.write(&text);
        gateway.signal("HUP");
        gateway.has_logged(BAD, number).await;
        let log = gateway.log();
        assert!(log.lines().last().unwrap().contains(why), "{why}: {log}");
        assert_eq!(gateway.connect().await.ask(get).await.text(), "old");
    }
    // Without a signal, too: the gateway looks at the file.
    gateway.write(&with(&new, ""));
    gateway.has_logged(GOOD, 1).await;
    assert_eq!(gateway.connect().await.ask(get).await.text(), "new");
}
