//! A connection that many callers share. Commands go out in the order in which they are given, and
//! replies come back in the same order.
//!
//! A command that comes alone is written at once, by its caller. While others are on their way, it
//! waits for one turn of the scheduler. All tasks that are ready then add their commands, and one
//! write carries them all. Without that, sixty requests that are ready at the same time would cost
//! sixty writes here, and sixty reads in the server.
//!
//! A caller that gives up leaves its place in the order, and its replies are dropped. Commands that
//! were not written yet are not sent for it.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::mem::take;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use redis::{RedisError, RedisResult, Value};
use slab::Slab;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use crate::runtime::lock::lock;
use crate::store::redis::commands::Commands;

mod task;

use task::Task;

/// The callers' side of the connection. Dropping it closes the connection.
pub(super) struct Pipe(Arc<Shared>);

struct Shared {
    socket: OwnedWriteHalf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Commands that wait to be written.
    out: Vec<u8>,
    /// The callers that have added to them, in this order.
    queued: Vec<Queued>,
    /// Whether more than one caller had added to the batch before.
    is_crowded: bool,
    callers: Slab<Caller>,
    /// The callers in the order of their replies. Those that are queued come last.
    due: VecDeque<usize>,
    task: Option<Waker>,
    /// Whether the task has nothing to write, so that new commands must wake it.
    is_idle: bool,
    /// Why the connection has ended, if it has.
    end: Option<RedisError>,
}

/// A caller whose commands wait to be written.
struct Queued {
    caller: usize,
    bytes: usize,
    /// Whether a part of them is written already.
    has_begun: bool,
}

/// A caller whose replies are not complete, or not fetched.
struct Caller {
    replies: Vec<Value>,
    missing: usize,
    waker: Option<Waker>,
    has_gone: bool,
}

impl Pipe {
    /// Needs the future to run, which ends with the connection. `heard` is called when bytes
    /// arrive.
    pub(super) fn new(
        socket: TcpStream,
        heard: impl Fn() + Send + Unpin,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (input, output) = socket.into_split();
        let shared = Arc::new(Shared { socket: output, state: Mutex::default() });
        (Self(Arc::clone(&shared)), Task::new(shared, input, heard))
    }

    /// Returns one reply for each command. Errors of the server are values.
    pub(super) async fn send(&self, commands: &Commands) -> RedisResult<Vec<Value>> {
        Reply { shared: &self.0, caller: self.0.take_up(commands)? }.await
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.0.end(closed());
    }
}

impl Shared {
    /// Sends the commands, and returns the caller's place.
    fn take_up(&self, commands: &Commands) -> RedisResult<usize> {
        let mut state = lock(&self.state);
        if state.end.is_some() {
            return Err(closed());
        }
        // A server may have replied before it has read all, so the task may still write.
        let is_alone = state.is_idle && state.due.is_empty() && !state.is_crowded;
        let caller = state.callers.insert(Caller {
            replies: Vec::with_capacity(commands.count()),
            missing: commands.count(),
            waker: None,
            has_gone: false,
        });
        state.due.push_back(caller);
        let mut packed = commands.packed();
        if is_alone {
            // The task finds an error, too.
            let written = self.socket.try_write(packed).unwrap_or(0);
            packed = &packed[written..];
        }
        if !packed.is_empty() {
            let has_begun = packed.len() < commands.packed().len();
            state.queued.push(Queued { caller, bytes: packed.len(), has_begun });
            state.out.extend_from_slice(packed);
            if take(&mut state.is_idle)
                && let Some(task) = state.task.clone()
            {
                drop(state);
                task.wake();
            }
        }
        Ok(caller)
    }

    /// Ends the connection. The callers that wait learn why.
    fn end(&self, why: RedisError) {
        let mut state = lock(&self.state);
        state.end.get_or_insert(why);
        let task = state.task.take();
        let due = take(&mut state.due);
        state.queued.clear();
        state.out.clear();
        let callers = due.into_iter().filter_map(|caller| state.callers[caller].waker.take());
        let wakers: Vec<_> = callers.chain(task).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl State {
    /// Takes out the commands of callers that have gone, unless a part of them is written.
    fn drop_gone(&mut self) {
        let is_gone = |queued: &Queued, callers: &Slab<Caller>| {
            !queued.has_begun && callers[queued.caller].has_gone
        };
        if !self.queued.iter().any(|queued| is_gone(queued, &self.callers)) {
            return;
        }
        let out = take(&mut self.out);
        let mut rest = &out[..];
        self.due.truncate(self.due.len() - self.queued.len());
        for queued in take(&mut self.queued) {
            let (commands, behind) = rest.split_at(queued.bytes);
            rest = behind;
            if is_gone(&queued, &self.callers) {
                self.callers.remove(queued.caller);
            } else {
                self.out.extend_from_slice(commands);
                self.due.push_back(queued.caller);
                self.queued.push(queued);
            }
        }
    }
}

/// Waits for the replies to the commands of one caller.
struct Reply<'a> {
    shared: &'a Shared,
    caller: usize,
}

impl Future for Reply<'_> {
    type Output = RedisResult<Vec<Value>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.shared.state);
        let State { callers, end, .. } = &mut *state;
        let caller = &mut callers[self.caller];
        if caller.missing == 0 {
            return Poll::Ready(Ok(take(&mut caller.replies)));
        }
        if let Some(why) = end {
            return Poll::Ready(Err(why.clone()));
        }
        match &mut caller.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            former => {
                // Dropped outside of the lock, because a waker may drop a task.
                let former = former.replace(cx.waker().clone());
                drop(state);
                drop(former);
            }
        }
        Poll::Pending
    }
}

impl Drop for Reply<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        let is_due = state.callers[self.caller].missing > 0 && state.end.is_none();
        if is_due {
            state.callers[self.caller].has_gone = true;
        } else {
            let caller = state.callers.remove(self.caller);
            drop(state);
            drop(caller);
        }
    }
}

fn closed() -> RedisError {
    io::Error::from(io::ErrorKind::BrokenPipe).into()
}

#[cfg(test)]
mod tests;
