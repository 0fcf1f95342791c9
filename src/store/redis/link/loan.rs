//! A socket that comes back from its borrower.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Returns the socket when it is dropped.
pub(super) struct Loan(Option<(TcpStream, oneshot::Sender<TcpStream>)>);

impl Loan {
    pub(super) fn of(socket: TcpStream) -> (Self, oneshot::Receiver<TcpStream>) {
        let (back, returned) = oneshot::channel();
        (Self(Some((socket, back))), returned)
    }

    fn socket(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        // It is there until this is dropped.
        let (socket, _) = self.0.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Pin::new(socket))
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some((socket, back)) = self.0.take() {
            // It is closed if the receiver is gone.
            drop(back.send(socket));
        }
    }
}

impl AsyncRead for Loan {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.socket()?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Loan {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.socket()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_shutdown(cx)
    }
}
