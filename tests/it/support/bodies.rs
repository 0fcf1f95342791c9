//! Bodies that come frame by frame, and a client that sees frames and trailers.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Collected, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::{Gate, Server, patiently};

/// A body of several frames. It announces a length only if it was given one.
pub(crate) struct Frames {
    queue: VecDeque<Result<Frame<Bytes>, std::io::Error>>,
    length: Option<u64>,
    panics: bool,
}

impl Frames {
    /// Frames of a length that is known beforehand.
    pub(crate) fn known(data: &[&[u8]]) -> Self {
        let length = data.iter().map(|frame| frame.len() as u64).sum();
        Self { length: Some(length), ..Self::unknown(data) }
    }

    /// Frames of a length that is unknown before their end.
    pub(crate) fn unknown(data: &[&[u8]]) -> Self {
        let frames = data.iter().map(|frame| Ok(Frame::data(Bytes::copy_from_slice(frame))));
        Self { queue: frames.collect(), length: None, panics: false }
    }

    pub(crate) fn trailers(mut self, trailers: HeaderMap) -> Self {
        self.queue.push_back(Ok(Frame::trailers(trailers)));
        self
    }

    /// Announces `length`, whatever the frames come to.
    pub(crate) fn announcing(mut self, length: u64) -> Self {
        self.length = Some(length);
        self
    }

    /// Ends in an error.
    pub(crate) fn broken(mut self) -> Self {
        self.queue.push_back(Err(std::io::Error::other("the source of the body broke")));
        self
    }

    /// Panics when it is polled after its last frame.
    pub(crate) fn panicking(mut self) -> Self {
        self.panics = true;
        self
    }
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let frame = self.queue.pop_front();
        assert!(frame.is_some() || !self.panics, "the body panics, as it was told to");
        if let (Some(Ok(frame)), Some(length)) = (&frame, &mut self.length) {
            *length -= frame.data_ref().map_or(0, |data| data.len() as u64).min(*length);
        }
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// A body of unknown length that gives `first` at once, and `second` when the gate opens.
pub(crate) fn gated_stream(first: &'static str, second: &'static str, gate: Gate) -> Body {
    Body::new(Gated::new(first, second, gate, None))
}

/// The same with a length that is known from the start.
pub(crate) fn gated_whole(first: &'static str, second: &'static str, gate: Gate) -> Body {
    Body::new(Gated::new(first, second, gate, Some((first.len() + second.len()) as u64)))
}

/// Frames out of a channel.
struct Gated {
    frames: mpsc::Receiver<&'static str>,
    left: Option<u64>,
}

impl Gated {
    fn new(first: &'static str, second: &'static str, gate: Gate, left: Option<u64>) -> Self {
        let (sender, frames) = mpsc::channel(1);
        tokio::spawn(async move {
            let _ = sender.send(first).await;
            gate.passed().await;
            let _ = sender.send(second).await;
        });
        Self { frames, left }
    }
}

impl http_body::Body for Gated {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = ready!(self.frames.poll_recv(cx));
        if let (Some(frame), Some(left)) = (frame, &mut self.left) {
            *left -= frame.len() as u64;
        }
        Poll::Ready(frame.map(|frame| Ok(Frame::data(Bytes::from(frame)))))
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Reads from a connection until `text` has come.
pub(crate) async fn read_frame(stream: &mut TcpStream, text: &str) {
    let mut seen = Vec::new();
    while !seen.windows(text.len()).any(|window| window == text.as_bytes()) {
        assert_ne!(
            patiently(stream.read_buf(&mut seen)).await.unwrap(),
            0,
            "the server hung up first"
        );
    }
}

/// Sends a POST over HTTP/2 and reads the response with its trailers.
pub(crate) async fn http2_response(
    server: &Server,
    key: &'static str,
) -> (http::response::Parts, Collected<Bytes>) {
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut client, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("http://{}/", server.address()))
        .header("x-idempotency-key", key)
        .body(Full::new(Bytes::from("body")))
        .unwrap();
    let (head, body) = client.send_request(request).await.unwrap().into_parts();
    (head, body.collect().await.unwrap())
}
