//! The threads that serve clients.
//!
//! Each has an event loop and upstream connections of its own. So a request never wakes another
//! thread, which would cost more than the request itself.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpStream as StdStream};
use std::num::NonZero;
use std::sync::OnceLock;
use std::thread;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::gateway::Gateway;
use crate::serve::Server;

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// How many there are: one for each processor.
pub(crate) fn count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| thread::available_parallelism().map_or(1, NonZero::get))
}

/// The number of the worker that this code runs on. Other threads share that of the first one.
pub(crate) fn number() -> usize {
    NUMBER.get()
}

/// A connection on its way to a worker. It counts until it has ended.
struct Accepted {
    stream: StdStream,
    address: SocketAddr,
    place: OwnedSemaphorePermit,
}

/// Workers that run. They end with the process.
#[derive(Clone)]
pub(crate) struct Workers(Vec<mpsc::UnboundedSender<Accepted>>);

/// Ends as soon as no worker has a connection, and the [`Workers`] are dropped.
pub(crate) struct Drained(mpsc::Receiver<()>);

impl Workers {
    /// Starts a worker for each processor.
    ///
    /// # Errors
    ///
    /// If the system has no more threads or files.
    pub(crate) fn start(gateway: &Gateway) -> io::Result<(Self, Drained)> {
        let (serves, serving) = mpsc::channel(1);
        let mut workers = Vec::new();
        for number in 0..count() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (worker, accepted) = mpsc::unbounded_channel();
            let work = work(accepted, gateway.clone(), serves.clone());
            thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                NUMBER.set(number);
                runtime.block_on(work);
            })?;
            workers.push(worker);
        }
        Ok((Self(workers), Drained(serving)))
    }

    /// Gives a connection to one of them. Callers choose a `turn` that is one more each time.
    pub(crate) fn give(
        &self,
        turn: usize,
        stream: TcpStream,
        address: SocketAddr,
        place: OwnedSemaphorePermit,
    ) -> io::Result<()> {
        let accepted = Accepted { stream: stream.into_std()?, address, place };
        // A worker that has ended has panicked, and its connections are closed.
        let _ = self.0[turn % self.0.len()].send(accepted);
        Ok(())
    }
}

impl Drained {
    pub(crate) async fn wait(mut self) {
        let _ = self.0.recv().await;
    }
}

async fn work(
    mut accepted: mpsc::UnboundedReceiver<Accepted>,
    gateway: Gateway,
    serves: mpsc::Sender<()>,
) {
    let here = Server::new(gateway);
    while let Some(Accepted { stream, address, place }) = accepted.recv().await {
        match TcpStream::from_std(stream) {
            Ok(stream) => here.serve(stream, address, place),
            Err(error) => tracing::warn!(%error, "a connection cannot be served: it is closed"),
        }
    }
    here.drained().await;
    drop(serves);
    // Operations of clients that have hung up still run here, and connections to stores.
    std::future::pending::<()>().await;
}
