//! Bodies that are longer than any memory, or that come bit by bit.

use super::gateway::{Gateway, PAYMENTS};
use super::raw::Raw;
use super::upstream::Upstream;

/// What the gateway may take for a stream of any length, in KiB.
const MOST: usize = 64 << 10;
const PIECE: usize = 1 << 20;

/// A server that sends or reads so many bytes, at full speed.
async fn serve(pieces: usize) -> Upstream {
    Upstream::start(move |_, mut raw| async move {
        while let Some(head) = raw.head().await {
            let piece = vec![b'a'; PIECE];
            if head.first.starts_with("GET") {
                raw.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", pieces * PIECE))
                    .await;
                for _ in 0..pieces {
                    if !raw.try_send(&piece).await {
                        return;
                    }
                }
            } else {
                let count = if head.has("content-length") {
                    skip(&mut raw, pieces).await
                } else {
                    chunks(&mut raw).await
                };
                raw.send(super::upstream::ok(&count.to_string())).await;
            }
        }
    })
    .await
}

async fn skip(raw: &mut Raw, pieces: usize) -> usize {
    let mut count = 0;
    for _ in 0..pieces {
        count += raw.skip(PIECE).await;
    }
    count
}

async fn chunks(raw: &mut Raw) -> usize {
    let mut count = 0;
    loop {
        let chunk = raw.chunk().await.unwrap();
        if chunk.is_empty() {
            raw.line().await;
            return count;
        }
        count += chunk.len();
    }
}

/// The KiB that the gateway took more at most than it had before.
async fn stream(pieces: usize) -> usize {
    let upstream = serve(pieces).await;
    let gateway = Gateway::with(upstream.address, "", PAYMENTS).await;
    let mut client = gateway.connect().await;
    client
        .send("POST /warm HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        .await;
    assert_eq!(client.response().await.text(), "0");
    let idle = gateway.memory("VmRSS");
    client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = client.head().await.unwrap();
    assert_eq!(head.get("content-length"), Some((pieces * PIECE).to_string().as_str()));
    assert_eq!(skip(&mut client, pieces).await, pieces * PIECE);

    let piece = vec![b'a'; PIECE];
    client
        .send(format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", pieces * PIECE))
        .await;
    for _ in 0..pieces {
        client.send(&piece).await;
    }
    assert_eq!(client.response().await.text(), (pieces * PIECE).to_string());

    client.send("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for _ in 0..pieces {
        client.send(format!("{PIECE:x}\r\n")).await;
        client.send(&piece).await;
        client.send("\r\n").await;
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.response().await.text(), (pieces * PIECE).to_string());
    gateway.memory("VmHWM") - idle
}

#[tokio::test]
async fn long_bodies_pass_in_little_memory() {
    let more = stream(96).await;
    assert!(more < MOST, "{more} KiB more for a stream");
}

#[tokio::test]
#[ignore = "it takes half a minute: the smaller form above runs always"]
async fn a_gibibyte_passes_each_way_in_little_memory() {
    let more = stream(1024).await;
    println!("{more} KiB more for 1 GiB of response, of request, and of request in chunks");
    assert!(more < MOST, "{more} KiB more for a stream");
}

#[tokio::test]
async fn a_slow_reader_holds_the_upstream_back_and_not_the_memory() {
    let upstream = serve(256).await;
    let gateway = Gateway::with(upstream.address, "timeouts = { idle = \"1s\" }", "").await;
    let mut client = gateway.connect().await;
    let idle = gateway.memory("VmRSS");
    client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = client.head().await.unwrap();
    assert_eq!(head.status(), 200);
    // It reads nothing for longer than a pause may be, and is cut off.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let count = client.rest().await.len();
    assert!(count < 256 * PIECE, "a client that reads nothing is still served");
    let more = gateway.memory("VmHWM").saturating_sub(idle);
    assert!(more < MOST, "{more} KiB more for a stream");
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let (next, nexts) = tokio::sync::mpsc::channel::<()>(1);
    let nexts = std::sync::Arc::new(tokio::sync::Mutex::new(nexts));
    let upstream = Upstream::start(move |_, mut raw| {
        let nexts = std::sync::Arc::clone(&nexts);
        async move {
            raw.request().await;
            raw.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            let mut nexts = nexts.lock().await;
            for number in 0.. {
                if nexts.recv().await.is_none() {
                    break;
                }
                let event = format!("data: {number}\n\n");
                raw.send(format!("{:x}\r\n{event}\r\n", event.len())).await;
            }
            raw.send("0\r\n\r\n").await;
        }
    })
    .await;
    let gateway = Gateway::before(upstream.address).await;
    let mut client = gateway.connect().await;
    client.send("GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n").await;
    // The head comes before the first event.
    assert_eq!(client.head().await.unwrap().get("content-type"), Some("text/event-stream"));
    for number in 0..100 {
        next.send(()).await.unwrap();
        // The next event is not sent before this one has come.
        assert_eq!(client.chunk().await.unwrap(), format!("data: {number}\n\n").into_bytes());
    }
    drop(next);
    assert_eq!(client.chunk().await.unwrap(), b"");
}
