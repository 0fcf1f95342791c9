#![allow(clippy::unwrap_used)]

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Sends the bytes in pieces of this size, and returns the bytes that are read.
async fn read(sent: &[u8], piece: usize) -> Vec<u8> {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let mut framed = Framed::new(server, MOST, PATIENCE);
    let pieces: Vec<_> = sent.chunks(piece).map(<[u8]>::to_vec).collect();
    let sending = async move {
        for piece in pieces {
            client.write_all(&piece).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let mut found = Vec::new();
    let ((), count) = tokio::join!(sending, framed.read_to_end(&mut found));
    count.unwrap();
    found
}

async fn is_spoiled(sent: &[u8]) -> bool {
    let mut spoiled = Vec::new();
    for piece in [1, 7, sent.len()] {
        let found = read(sent, piece).await;
        assert_eq!(found.len(), sent.len(), "{}", String::from_utf8_lossy(sent));
        spoiled.push(found != sent);
    }
    assert!(spoiled.iter().all(|is_so| *is_so == spoiled[0]));
    spoiled[0]
}

const MOST: Most = Most { bytes: 1 << 16, headers: 100 };
const PATIENCE: Patience = Patience { begin: Duration::from_mins(1), idle: Duration::from_mins(1) };

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
    5;a=b\r\nhello\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
const SIZED: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
const BOTH: &[u8] =
    b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";

#[tokio::test]
async fn requests_with_one_end_pass_as_they_are() {
    for first in [GET, CHUNKED, SIZED] {
        for second in [GET, CHUNKED, SIZED] {
            assert!(!is_spoiled(&[first, second, GET].concat()).await);
        }
    }
}

#[tokio::test]
async fn an_ambiguous_request_is_spoiled_wherever_it_comes() {
    for before in [&b""[..], GET, CHUNKED, SIZED] {
        assert!(is_spoiled(&[before, BOTH].concat()).await);
    }
    let heads = [
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "transfer-encoding:chunked\r\nCONTENT-LENGTH:0",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Content-Length: 5, 5",
        "Content-Length: 0x5",
        "Content-Length: 5\nX: y",
        "X: y\nTransfer-Encoding: chunked",
    ];
    for head in heads {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n");
        assert!(is_spoiled(request.as_bytes()).await, "{head}");
    }
}

#[tokio::test]
async fn a_body_may_look_like_a_head() {
    let head = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", BOTH.len());
    assert!(!is_spoiled(&[head.as_bytes(), BOTH, GET].concat()).await);
    let chunk = format!("{:x}\r\n", BOTH.len());
    let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let parts = [chunked, chunk.as_bytes(), BOTH, b"\r\n0\r\n\r\n", GET];
    assert!(!is_spoiled(&parts.concat()).await);
}

#[tokio::test]
async fn other_protocols_and_broken_requests_pass_as_they_are() {
    for bytes in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
            [..],
        b"\x16\x03\x01 something",
        b"GET / HT",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    ] {
        assert!(!is_spoiled(bytes).await, "{}", String::from_utf8_lossy(bytes));
    }
}

#[tokio::test]
async fn after_an_upgrade_nothing_is_held_back() {
    let (mut client, server) = tokio::io::duplex(1024);
    let mut framed = Framed::new(server, MOST, PATIENCE);
    client.write_all(GET).await.unwrap();
    let mut head = vec![0; GET.len()];
    framed.read_exact(&mut head).await.unwrap();
    framed.upgraded().note();
    // It would be the beginning of a head.
    client.write_all(b"hello").await.unwrap();
    let mut found = [0; 5];
    framed.read_exact(&mut found).await.unwrap();
    assert_eq!(&found, b"hello");
}
