//! What became of a request that got no response, as the next attempt is told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::gateway::{Gateway, file};
use super::raw::{Head, Message, Raw};
use super::upstream::{Upstream, ok};

const ROUTE: &str =
    "[[route]]\npath = \"/payments\"\nscope = \"everyone\"\non_abandoned = \"rerun\"\n";
const TIMEOUTS: &str =
    "timeouts = { first_byte = \"400ms\", idle = \"400ms\", connect = \"1s\" }\n";

async fn start(upstream: SocketAddr, retries: usize) -> Gateway {
    let route = format!("{ROUTE}retries = {retries}\n");
    Gateway::with(upstream, TIMEOUTS, &route).await
}

fn payment(target: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nContent-Length: 5\r\n\r\nhello"
    )
}

/// A response, unless the connection ends before its end.
async fn attempt(gateway: &Gateway, target: &str) -> Option<Message> {
    let mut last = String::new();
    for turn in 0.. {
        assert!(turn < 500, "the operation before it never ends: {last}{}", gateway.log());
        let mut client = gateway.connect().await;
        client.send(payment(target)).await;
        let response = client.try_response().await;
        // The operation before it still ends.
        if response.as_ref().is_none_or(|response| response.status() != 409) {
            return response;
        }
        last = response.map(|response| response.text()).unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    unreachable!("the loop has no end")
}

/// What the upstream was told of the attempt: in doubt, and what came of the one before.
fn told(head: &Head) -> (String, Option<String>) {
    let name = |name: &str| head.get(&format!("x-idempotency-{name}")).map(ToOwned::to_owned);
    (name("in-doubt").unwrap(), name("previous"))
}

/// What an upstream does with the first request, or the first few.
#[derive(Debug, Clone, Copy)]
enum Does {
    ClosesInTheHead,
    ClosesInTheBody,
    ClosesAfterTheRequest,
    Resets,
    Stalls,
    Garbage,
    BreaksOff,
    StallsInTheBody,
}

async fn misbehave(does: Does, mut raw: Raw) {
    match does {
        Does::ClosesInTheHead => {
            raw.bytes(10).await;
            return raw.reset();
        }
        Does::ClosesInTheBody => {
            raw.head().await;
            return raw.reset();
        }
        _ => raw.request().await,
    };
    match does {
        Does::Resets => raw.reset(),
        Does::Garbage => raw.send("hello\r\n\r\n").await,
        Does::BreaksOff => raw.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await,
        Does::Stalls => {
            raw.rest().await;
        }
        Does::StallsInTheBody => {
            raw.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
            raw.rest().await;
        }
        _ => {}
    }
}

/// An upstream that does this with the first `count` connections, and notes what it is told then.
async fn misbehaving(does: Does, count: usize) -> (Upstream, Arc<Mutex<Vec<Head>>>) {
    let heads: Arc<Mutex<Vec<Head>>> = Arc::default();
    let noted = Arc::clone(&heads);
    let upstream = Upstream::start(move |number, mut raw| {
        let heads = Arc::clone(&noted);
        async move {
            if number < count {
                return misbehave(does, raw).await;
            }
            while let Some(request) = raw.request().await {
                heads.lock().unwrap().push(request.head);
                raw.send(ok("paid")).await;
            }
        }
    })
    .await;
    (upstream, heads)
}

#[tokio::test]
async fn after_bytes_were_sent_the_next_attempt_is_in_doubt() {
    for (does, expected) in [
        (Does::ClosesInTheHead, Some((502, "upstream_no_response"))),
        (Does::ClosesInTheBody, Some((502, "upstream_no_response"))),
        (Does::ClosesAfterTheRequest, Some((502, "upstream_no_response"))),
        (Does::Resets, Some((502, "upstream_no_response"))),
        (Does::Garbage, Some((502, "upstream_no_response"))),
        (Does::Stalls, Some((504, "upstream_timed_out"))),
        (Does::BreaksOff, None),
        (Does::StallsInTheBody, None),
    ] {
        let (upstream, heads) = misbehaving(does, 2).await;
        let gateway = start(upstream.address, 0).await;
        for target in ["/unguarded", "/payments"] {
            let response = attempt(&gateway, target).await;
            let found = response.as_ref().map(|response| (response.status(), response.code()));
            let expected = expected.map(|(status, code)| (status, code.to_owned()));
            assert_eq!(found, expected, "{does:?} {target}");
            if let Some(response) = response {
                assert!(response.head.has("retry-after"), "{does:?}");
            }
        }
        assert_eq!(upstream.connections(), 2, "{does:?}: each was sent once");
        assert_eq!(attempt(&gateway, "/payments").await.unwrap().text(), "paid", "{does:?}");
        let head = heads.lock().unwrap()[0].clone();
        assert_eq!(told(&head), ("true".to_owned(), Some("abandoned".to_owned())), "{does:?}");
        assert_eq!(head.get("x-idempotency-attempt"), Some("2"), "{does:?}");
    }
}

#[tokio::test]
async fn a_request_that_was_never_sent_did_not_happen() {
    let refused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plain = Upstream::start(|_, mut raw| async move { drop(raw.rest().await) }).await;
    for upstream in [format!("http://{refused}"), format!("https://{}", plain.address)] {
        let gateway = Gateway::start(&file(&format!("{upstream:?}"), TIMEOUTS, ROUTE)).await;
        for target in ["/unguarded", "/payments"] {
            let response = attempt(&gateway, target).await.unwrap();
            assert_eq!(
                (response.status(), response.code()),
                (502, "upstream_unreachable".to_owned())
            );
            assert!(response.head.has("retry-after"));
        }
        if upstream.starts_with("https") {
            continue;
        }
        let heads: Arc<Mutex<Vec<Head>>> = Arc::default();
        let noted = Arc::clone(&heads);
        let _upstream = Upstream::start_at(refused, move |_, mut raw| {
            let heads = Arc::clone(&noted);
            async move {
                while let Some(request) = raw.request().await {
                    heads.lock().unwrap().push(request.head);
                    raw.send(ok("paid")).await;
                }
            }
        })
        .await;
        assert_eq!(attempt(&gateway, "/payments").await.unwrap().text(), "paid");
        assert_eq!(told(&heads.lock().unwrap()[0]), ("false".to_owned(), None));
    }
}

#[tokio::test]
async fn an_upstream_that_closes_at_once_is_one_or_the_other() {
    let (upstream, heads) = {
        let heads: Arc<Mutex<Vec<Head>>> = Arc::default();
        let noted = Arc::clone(&heads);
        let upstream = Upstream::start(move |number, mut raw| {
            let heads = Arc::clone(&noted);
            async move {
                if number >= 1 {
                    let request = raw.request().await.unwrap();
                    heads.lock().unwrap().push(request.head);
                    raw.send(ok("paid")).await;
                }
            }
        })
        .await;
        (upstream, heads)
    };
    let gateway = start(upstream.address, 0).await;
    let code = attempt(&gateway, "/payments").await.unwrap().code();
    assert_eq!(attempt(&gateway, "/payments").await.unwrap().text(), "paid");
    let is_in_doubt = told(&heads.lock().unwrap()[0]).0;
    let expected = if code == "upstream_unreachable" { "false" } else { "true" };
    assert_eq!(is_in_doubt, expected, "{code}");
}

#[tokio::test]
async fn only_a_guarded_request_is_sent_again_and_it_says_that_it_is_in_doubt() {
    let (upstream, heads) = misbehaving(Does::ClosesAfterTheRequest, 2).await;
    let gateway = start(upstream.address, 3).await;
    assert_eq!(attempt(&gateway, "/unguarded").await.unwrap().status(), 502);
    assert_eq!(upstream.connections(), 1);
    assert_eq!(attempt(&gateway, "/payments").await.unwrap().text(), "paid");
    assert_eq!(upstream.connections(), 3);
    let head = heads.lock().unwrap()[0].clone();
    assert_eq!(told(&head), ("true".to_owned(), None));
    assert_eq!(head.get("x-idempotency-attempt"), Some("1"));
    // The first was not.
    assert!(upstream.seen()[1].contains("x-idempotency-in-doubt: false"));
}

#[tokio::test]
async fn a_refused_connection_after_a_lost_response_is_still_in_doubt() {
    let (lost, losing) = tokio::sync::oneshot::channel();
    let lost = Arc::new(Mutex::new(Some(lost)));
    let upstream = Upstream::start(move |_, mut raw| {
        let lost = Arc::clone(&lost);
        async move {
            raw.request().await;
            if let Some(lost) = lost.lock().unwrap().take() {
                lost.send(()).unwrap();
            }
        }
    })
    .await;
    let address = upstream.address;
    // For the next attempt nothing listens.
    let stopping = tokio::spawn(async move {
        losing.await.unwrap();
        drop(upstream);
    });
    let gateway = start(address, 2).await;
    let response = attempt(&gateway, "/payments").await.unwrap();
    assert_eq!(response.status(), 502, "{response:?}");
    stopping.await.unwrap();
    let (again, heads) = misbehaving(Does::Resets, 0).await;
    let gateway_file = file(&format!("\"http://{}\"", again.address), TIMEOUTS, ROUTE);
    gateway.write(&gateway_file);
    gateway.signal("HUP");
    gateway.has_logged("the file was read again", 1).await;
    assert_eq!(attempt(&gateway, "/payments").await.unwrap().text(), "paid");
    assert_eq!(told(&heads.lock().unwrap()[0]).0, "true");
}

#[tokio::test]
async fn a_kept_connection_that_the_upstream_closes_just_then_loses_no_effect_silently() {
    // After each response the upstream closes: at once, or as the next request comes.
    let served: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let noted = Arc::clone(&served);
    let turn = Arc::new(AtomicUsize::new(0));
    let upstream = Upstream::start(move |_, mut raw| {
        let (served, turn) = (Arc::clone(&noted), Arc::clone(&turn));
        async move {
            while let Some(request) = raw.request().await {
                let key = request.head.get("idempotency-key").unwrap().to_owned();
                *served.lock().unwrap().entry(key).or_default() += 1;
                raw.try_send(ok("paid")).await;
                let turn = turn.fetch_add(1, Ordering::Relaxed);
                if turn % 4 == 0 {
                    continue;
                }
                let pause = Duration::from_micros((turn % 400) as u64 * 2);
                tokio::time::sleep(pause).await;
                return;
            }
        }
    })
    .await;
    let gateway = start(upstream.address, 0).await;
    let mut client = gateway.connect().await;
    let mut found: HashMap<(u16, &str), usize> = HashMap::new();
    for number in 0..2000 {
        let target = if number % 2 == 0 { "/unguarded" } else { "/payments" };
        let key = format!("k{number}");
        let response = client.ask(payment(target).replace(": k\r", &format!(": {key}\r"))).await;
        let count = served.lock().unwrap().get(&key).copied().unwrap_or_default();
        match response.status() {
            200 => assert_eq!(count, 1, "{key}"),
            // No request was sent twice, and none that was sent counts as unsent.
            502 if response.code() == "upstream_unreachable" => assert_eq!(count, 0, "{key}"),
            502 => assert!(count <= 1, "{key}"),
            status => panic!("{status} {response:?}"),
        }
        let code = if response.status() == 200 {
            "paid"
        } else if response.code() == "upstream_unreachable" {
            "unsent"
        } else {
            "in doubt"
        };
        *found.entry((response.status(), code)).or_default() += 1;
    }
    println!("2,000 requests, three of four responses followed by a close: {found:?}");
    assert!(found[&(200, "paid")] >= 1000, "{found:?}");
}
