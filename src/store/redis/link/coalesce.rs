//! A socket that sends together what is written together.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::silence::Silence;

/// Lets every ready task run before the first byte of a batch is sent.
///
/// The driver wakes for the first command, and would send it alone: the worker runs a task that was
/// just woken before all others. Sixty requests that are ready at the same time would then cost
/// sixty writes here, and sixty reads in the server. Put off by one turn of the scheduler, they go
/// out in one.
pub(super) struct Coalesce<T> {
    socket: T,
    silence: Arc<Silence>,
    put_off: bool,
}

impl<T> Coalesce<T> {
    /// Received bytes end the silence, also those of a reply whose caller has given up.
    pub(super) fn new(socket: T, silence: Arc<Silence>) -> Self {
        Self { socket, silence, put_off: false }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Coalesce<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.silence.end();
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Coalesce<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.put_off {
            // A task that wakes itself while it runs goes to the end of the queue.
            self.put_off = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    /// Called when all of the batch is written; the next batch is put off again.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.put_off = false;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
