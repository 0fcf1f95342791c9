//! Connections that end at every point of a response.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tower::{Layer, ServiceExt};
use tower_idempotency::client::{Disposition, ErrorKind, Reported};

use super::{Received, ask, connections, post, quick};
use crate::support::patiently;

const WHOLE: &str = "HTTP/1.1 201 Created\r\ncontent-length: 4\r\n\r\ndone";

/// What the server writes before it closes the connection, or resets it.
#[derive(Clone, Copy)]
enum Cut {
    Close(&'static str),
    Reset(&'static str),
}

/// A server that takes one request on each connection, and notes it.
struct Raw {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Raw {
    async fn start(cuts: &[Cut]) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), cuts)
    }

    fn on(listener: TcpListener, cuts: &[Cut]) -> Self {
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (noted, cuts) = (Arc::clone(&requests), cuts.to_vec());
        let task = tokio::spawn(async move {
            for cut in cuts.into_iter().chain(std::iter::repeat(Cut::Close(WHOLE))) {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = request(&mut stream).await;
                noted.lock().unwrap().push(request);
                let (Cut::Close(text) | Cut::Reset(text)) = cut;
                stream.write_all(text.as_bytes()).await.unwrap();
                if matches!(cut, Cut::Reset(_)) {
                    stream.set_zero_linger().unwrap();
                }
            }
        });
        Self { address, requests, task }
    }

    fn uri(&self) -> String {
        format!("http://{}/orders", self.address)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"order") {
        assert_ne!(patiently(stream.read_buf(&mut bytes)).await.unwrap(), 0, "the client hung up");
    }
    String::from_utf8(bytes).unwrap()
}

async fn asked(server: &Raw) -> Received {
    patiently(ask(quick(), connections(), post(server.uri()))).await.unwrap()
}

#[tokio::test]
async fn a_response_that_is_lost_at_any_point_is_requested_again_under_the_same_key() {
    let texts = [
        "",
        "HTTP/1.1 20",
        "HTTP/1.1 201 Created\r\ncontent-le",
        "HTTP/1.1 201 Created\r\ncontent-length: 4\r\n\r\n",
        "HTTP/1.1 201 Created\r\ncontent-length: 4\r\n\r\ndon",
        "HTTP/1.1 409 Conflict\r\ncontent-length: 9\r\n\r\nout of",
        "HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n4\r\ndo",
        "HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n4\r\ndone\r\n",
        "HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n4\r\ndone\r\n0\r\n",
        "not HTTP at all\r\n\r\n",
    ];
    for text in texts {
        let server = Raw::start(&[Cut::Close(text), Cut::Reset(text), Cut::Close(text)]).await;
        asked(&server).await.assert_done("done", 4);
        let requests = server.requests();
        assert_eq!(requests.len(), 4, "{text:?}");
        assert!(requests.iter().all(|request| *request == requests[0]), "{requests:?}");
        assert!(requests[0].contains("\r\nx-idempotency-key: "), "{requests:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_up_yet_is_waited_for() {
    // Bound and not listening: the port is taken, and connections are refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let uri = format!("http://{}/orders", socket.local_addr().unwrap());
    let rejected = Arc::new(tokio::sync::Semaphore::new(0));
    let noted = Arc::clone(&rejected);
    let layer = quick().retry_if(move |_| {
        noted.add_permits(1);
        true
    });
    let coming = async {
        let _ = patiently(rejected.acquire_many(3)).await.unwrap();
        Raw::on(socket.listen(16).unwrap(), &[])
    };
    let (response, server) = tokio::join!(ask(layer, connections(), post(uri)), coming);
    let response = response.unwrap();
    assert!(response.attempts.unwrap() > 3, "{response:?}");
    assert_eq!((response.status.as_u16(), &*response.body), (201, &b"done"[..]));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn without_an_end_to_it_the_outcome_is_said_to_be_unknown() {
    let server = Raw::start(&[Cut::Close(""); 3]).await;
    let layer = quick().max_attempts(3.try_into().unwrap());
    let error = ask(layer, connections(), post(server.uri())).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts(), error.is_in_doubt()),
        (ErrorKind::Connection, 3, true)
    );
    assert_eq!(server.requests().len(), 3);
}

/// Asserts that a response is handed on before its end, and that the caller sees its loss.
async fn assert_handed_on(text: &'static str, begins: &str) {
    let server = Raw::start(&[Cut::Close(text)]).await;
    let client = quick().max_response(8).layer(connections());
    let response = patiently(client.oneshot(post(server.uri()))).await.unwrap();
    let report = response.report().unwrap();
    assert_eq!((report.disposition(), report.attempts()), (Disposition::Final, 1));
    let mut body = response.into_body();
    let mut read = Vec::new();
    let error = loop {
        match patiently(body.frame()).await.expect("the body was cut off") {
            Ok(frame) => read.extend_from_slice(&frame.into_data().unwrap()),
            Err(error) => break error,
        }
    };
    assert_eq!(read, begins.as_bytes(), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn streams_of_events_and_long_responses_are_handed_on_as_they_come() {
    assert_handed_on(
        "HTTP/1.1 200 OK\r\ncontent-type: Text/Event-Stream; charset=utf-8\r\ncontent-length: 7\r\n\r\ndata",
        "data",
    )
    .await;
    assert_handed_on("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n0123456789", "0123456789").await;
    assert_handed_on(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n3\r\nxy",
        "0123456789xy",
    )
    .await;
}

#[tokio::test]
async fn a_response_within_the_limit_is_whole_whatever_its_framing() {
    for text in [
        "HTTP/1.1 201 Created\r\ncontent-length: 4\r\n\r\ndone",
        "HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n1\r\nd\r\n3\r\none\r\n0\r\n\r\n",
        "HTTP/1.1 201 Created\r\nconnection: close\r\n\r\ndone",
    ] {
        let server = Raw::start(&[Cut::Close(text)]).await;
        let response =
            ask(quick().max_response(4), connections(), post(server.uri())).await.unwrap();
        response.assert_done("done", 1);
    }
}

#[tokio::test]
async fn an_attempt_that_hangs_in_mid_response_is_given_up_for_the_next() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/orders", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut open = Vec::new();
        for text in ["", "HTTP/1.1 201 Created\r\ncontent-length: 4\r\n\r\ndon", WHOLE] {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream).await;
            stream.write_all(text.as_bytes()).await.unwrap();
            open.push(stream);
        }
        open
    });
    let layer = quick().attempt_timeout(Duration::from_millis(150));
    patiently(ask(layer, connections(), post(uri))).await.unwrap().assert_done("done", 3);
    drop(server.await.unwrap());
}
