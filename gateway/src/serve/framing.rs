//! Rejects requests that two servers could take for different ones.
//!
//! A request with both `Content-Length` and `Transfer-Encoding` has two ends. hyper follows RFC 9112
//! and takes the latter. A proxy in front that takes the former would let one client write a request
//! into the connection of another (request smuggling). So each head is looked at before hyper sees
//! it. One that is ambiguous is spoiled, so that hyper responds with 400 and closes the connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

mod chunks;
mod head;
mod messages;

use messages::Messages;
pub(super) use messages::Most;

/// What an HTTP/2 client begins with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Until hyper knows which protocol it speaks. After that hyper has a limit of its own.
    pub(super) begin: Duration,
    /// Without reading anything of a response.
    pub(super) idle: Duration,
}

/// A connection whose requests have one end each.
#[derive(Debug)]
pub(super) struct Framed<T> {
    io: T,
    messages: Messages,
    idle: Duration,
    /// Until hyper knows the protocol.
    begin: Option<Pin<Box<Sleep>>>,
    /// How many bytes of an HTTP/2 connection's beginning were read.
    begun: usize,
    /// While nothing can be written.
    stalled: Option<Pin<Box<Sleep>>>,
    /// A head that has not come to its end.
    held: BytesMut,
    /// Bytes that were checked and that hyper has not read yet.
    ready: BytesMut,
    upgraded: UpgradedFlag,
}

/// Says that from now on the connection does not carry HTTP.
#[derive(Debug, Clone, Default)]
pub(super) struct UpgradedFlag(Arc<AtomicBool>);

impl UpgradedFlag {
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_noted(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl<T> Framed<T> {
    /// Of a client that speaks HTTP/1.1, or HTTP/2 without having said so in TLS.
    pub(super) fn new(io: T, most: Most, patience: Patience) -> Self {
        Self::following(io, Messages::new(most), patience)
    }

    /// Of one that speaks HTTP/2, which has one way to say where a message ends.
    pub(super) fn of_http2(io: T, most: Most, patience: Patience) -> Self {
        Self::following(io, Messages::opaque(most), patience)
    }

    fn following(io: T, messages: Messages, patience: Patience) -> Self {
        Self {
            io,
            messages,
            idle: patience.idle,
            begin: Some(Box::pin(tokio::time::sleep(patience.begin))),
            begun: 0,
            stalled: None,
            held: BytesMut::new(),
            ready: BytesMut::new(),
            upgraded: UpgradedFlag::default(),
        }
    }

    pub(super) fn upgraded(&self) -> UpgradedFlag {
        self.upgraded.clone()
    }

    /// Notes what hyper is given. It does not see a head that is held back.
    fn gives(&mut self, read: &[u8]) {
        if self.begin.is_none() {
            return;
        }
        let expected = &PREFACE[self.begun..];
        let is_certain = read.len() >= expected.len() || !expected.starts_with(read);
        self.begun += read.len();
        if is_certain {
            self.begin = None;
        }
    }

    /// An error if the client has read nothing for too long.
    fn limited<R>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let idle = self.idle;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + idle)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Framed<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.upgraded.is_noted() && !this.held.is_empty() {
            this.ready.unsplit(this.held.split());
        }
        loop {
            if !this.ready.is_empty() {
                let count = this.ready.len().min(buf.remaining());
                let given = this.ready.split_to(count);
                buf.put_slice(&given);
                this.gives(&given);
                return Poll::Ready(Ok(()));
            }
            let before = buf.filled().len();
            if Pin::new(&mut this.io).poll_read(cx, buf)?.is_pending() {
                if let Some(begin) = &mut this.begin {
                    ready!(begin.as_mut().poll(cx));
                    let late = "the client does not begin";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, late)));
                }
                return Poll::Pending;
            }
            let read = &mut buf.filled_mut()[before..];
            if read.is_empty() {
                // The connection has ended in the middle of a head.
                this.ready.unsplit(this.held.split());
                if this.ready.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            if this.upgraded.is_noted() {
                return Poll::Ready(Ok(()));
            }
            if this.held.is_empty() {
                let count = this.messages.look_at(read);
                this.held.extend_from_slice(&read[count..]);
                buf.set_filled(before + count);
                if count > 0 {
                    this.gives(&buf.filled()[before..]);
                    return Poll::Ready(Ok(()));
                }
            } else {
                this.held.extend_from_slice(read);
                buf.set_filled(before);
                let count = this.messages.look_at(&mut this.held);
                this.ready = this.held.split_to(count);
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Framed<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.limited(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, slices);
        this.limited(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
