//! Writes the commands of a pipe, and hands out the replies.

use std::future::Future;
use std::io;
use std::mem::swap;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use redis::RedisResult;
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;

use super::{Shared, closed};
use crate::runtime::lock::lock;
use crate::store::redis::link::replies::{Replies, malformed};
use crate::store::redis::script_error::unwrapped;

/// A buffer up to this size, in bytes, stays with the connection.
const BUFFER: usize = 64 << 10;

/// The task of a pipe. It ends with the connection.
pub(super) struct Task<H> {
    shared: Arc<Shared>,
    input: OwnedReadHalf,
    arrived: Replies,
    heard: H,
    /// The batch that is being written, and how much of it is written.
    batch: Vec<u8>,
    written: usize,
    /// Whether the next batch has waited for a turn of the scheduler.
    has_waited: bool,
}

impl<H: Fn()> Task<H> {
    pub(super) fn new(shared: Arc<Shared>, input: OwnedReadHalf, heard: H) -> Self {
        let arrived = Replies::default();
        Self { shared, input, arrived, heard, batch: Vec::new(), written: 0, has_waited: false }
    }

    /// Reads until nothing is left to read.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<RedisResult<()>> {
        loop {
            let buffer = self.arrived.buffer()?;
            let bytes = ready!(pin!(self.input.read_buf(buffer)).poll(cx))?;
            if bytes == 0 {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()));
            }
            (self.heard)();
            self.hand_out()?;
        }
    }

    /// Gives each reply to the first caller in the order.
    fn hand_out(&mut self) -> RedisResult<()> {
        while let Some(reply) = self.arrived.next()? {
            let mut state = lock(&self.shared.state);
            // A reply to commands that were not sent.
            if state.due.len() <= state.queued.len() {
                return Err(malformed().into());
            }
            let first = state.due[0];
            let caller = &mut state.callers[first];
            caller.replies.push(unwrapped(reply));
            caller.missing -= 1;
            if caller.missing > 0 {
                continue;
            }
            let waker = caller.waker.take();
            if caller.has_gone {
                state.callers.remove(first);
            }
            state.due.pop_front();
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        Ok(())
    }

    /// Writes until nothing is left to write.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<RedisResult<()>> {
        loop {
            if self.written == self.batch.len() {
                ready!(self.next_batch(cx));
            }
            let socket = self.shared.socket.as_ref();
            match socket.try_write(&self.batch[self.written..]) {
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(socket.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Takes the commands that wait.
    fn next_batch(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.written = 0;
        self.batch.clear();
        if self.batch.capacity() > BUFFER {
            self.batch = Vec::new();
        }
        let mut state = lock(&self.shared.state);
        state.drop_gone();
        state.is_idle = state.out.is_empty();
        if state.is_idle {
            return Poll::Pending;
        }
        if !self.has_waited {
            // A task that wakes itself while it runs goes to the end of the queue.
            self.has_waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.has_waited = false;
        swap(&mut self.batch, &mut state.out);
        state.is_crowded = state.queued.len() > 1;
        state.queued.clear();
        Poll::Ready(())
    }

    /// Whether the connection has ended. The task is woken when it does, also while it waits for
    /// the socket.
    fn has_ended(&self, cx: &mut Context<'_>) -> bool {
        let mut state = lock(&self.shared.state);
        state.task.get_or_insert_with(|| cx.waker().clone());
        state.end.is_some()
    }
}

impl<H: Fn() + Unpin> Future for Task<H> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.has_ended(cx) {
            return Poll::Ready(());
        }
        let ended = match this.read(cx) {
            Poll::Ready(ended) => ended,
            Poll::Pending => ready!(this.write(cx)),
        };
        this.shared.end(ended.err().unwrap_or_else(closed));
        Poll::Ready(())
    }
}

impl<H> Drop for Task<H> {
    fn drop(&mut self) {
        // The runtime may have ended it.
        self.shared.end(closed());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::future::poll_fn;
    use std::sync::Mutex;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::store::redis::commands::Commands;

    #[tokio::test]
    async fn a_long_batch_does_not_hold_its_memory_after_it_was_written() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let (input, output) = socket.into_split();
        let shared = Arc::new(Shared { socket: output, state: Mutex::default() });
        let mut task = Task::new(Arc::clone(&shared), input, || {});
        let body = vec![b'x'; 32 << 20];
        let long = Commands::of(&[&[b"SET", b"name", &body]]);
        shared.take_up(&long).unwrap();
        let mut received = vec![0; long.packed().len()];
        let read = server.read_exact(&mut received);
        tokio::select! {
            biased;
            () = poll_fn(|cx| Pin::new(&mut task).poll(cx)) => unreachable!(),
            read = read => assert_eq!(read.unwrap(), long.packed().len()),
        }
        for _ in 0..3 {
            poll_fn(|cx| Poll::Ready(Pin::new(&mut task).poll(cx).is_pending())).await;
            tokio::task::yield_now().await;
        }
        let held = task.batch.capacity() + lock(&shared.state).out.capacity();
        assert!(held <= 2 * BUFFER, "{held} bytes are held");
    }
}
