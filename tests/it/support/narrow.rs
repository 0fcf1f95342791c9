//! A TCP proxy that is as slow as a narrow network link.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// What waits in the link, in time. A sleeper who wakes up late has lost nothing up to this.
const QUEUE: Duration = Duration::from_millis(5);

/// What the link carries in one direction.
#[derive(Clone)]
enum Limit {
    /// So many bytes in a second, of all connections together.
    Rate { per_second: f64, free: Arc<Mutex<Instant>> },
    /// So many bytes of each connection, and no more until the link is wide.
    Most { bytes: usize, is_wide: watch::Receiver<bool> },
}

/// A link in front of a server until it is dropped.
pub(crate) struct Narrow {
    address: SocketAddr,
    is_wide: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Narrow {
    /// Carries so many bytes a second in each direction. All connections share that.
    pub(crate) async fn carrying(port: u16, per_second: f64) -> Self {
        let limit = |_| {
            let free = Arc::new(Mutex::new(Instant::now()));
            Limit::Rate { per_second, free }
        };
        Self::start(port, limit).await
    }

    /// Carries so many bytes of each connection in each direction, and then holds it.
    pub(crate) async fn holding_after(port: u16, bytes: usize) -> Self {
        Self::start(port, |is_wide| Limit::Most { bytes, is_wide }).await
    }

    async fn start(port: u16, limit: impl Fn(watch::Receiver<bool>) -> Limit) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let is_wide = watch::Sender::new(false);
        let limits = [(); 2].map(|()| limit(is_wide.subscribe()));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                for stream in [&client, &server] {
                    stream.set_nodelay(true).unwrap();
                }
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                let [requests, replies] = limits.clone();
                tokio::spawn(async move {
                    // Either end is the end of both.
                    tokio::select! {
                        () = carry(from_client, to_server, requests) => {}
                        () = carry(from_server, to_client, replies) => {}
                    }
                });
            }
        });
        Self { address, is_wide, accepting }
    }

    /// Lets what is held pass.
    pub(crate) fn widen(&self) {
        self.is_wide.send_replace(true);
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }
}

impl Drop for Narrow {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut limit: Limit) {
    let mut buffer = vec![0; 16 << 10];
    let mut carried = 0;
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        carried += length;
        limit.passed(length, carried).await;
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

impl Limit {
    /// Waits until a piece may pass.
    async fn passed(&mut self, length: usize, carried: usize) {
        match self {
            Self::Rate { per_second, free } => {
                let takes = Duration::from_secs_f64(
                    f64::from(u32::try_from(length).unwrap()) / *per_second,
                );
                let free = {
                    let mut free = free.lock().unwrap();
                    *free = (*free).max(Instant::now() - QUEUE) + takes;
                    *free
                };
                sleep_until(free).await;
            }
            Self::Most { bytes, is_wide } => {
                if carried > *bytes {
                    let _ = is_wide.wait_for(|is_wide| *is_wide).await;
                }
            }
        }
    }
}
