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

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

mod chunks;
mod head;
mod messages;

use messages::Messages;

/// A connection whose requests have one end each.
#[derive(Debug)]
pub(super) struct Framed<T> {
    io: T,
    messages: Messages,
    /// A head that has not come to its end.
    held: BytesMut,
    /// What was looked at and not yet read.
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
    pub(super) fn new(io: T) -> Self {
        Self {
            io,
            messages: Messages::default(),
            held: BytesMut::new(),
            ready: BytesMut::new(),
            upgraded: UpgradedFlag::default(),
        }
    }

    pub(super) fn upgraded(&self) -> UpgradedFlag {
        self.upgraded.clone()
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
                buf.put_slice(&this.ready[..count]);
                this.ready.advance(count);
                return Poll::Ready(Ok(()));
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
            let read = &mut buf.filled_mut()[before..];
            if read.is_empty() {
                // The end. What was held back is not a request.
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
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
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
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
