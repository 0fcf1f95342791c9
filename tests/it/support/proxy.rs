//! A TCP proxy that counts round trips and can change what the client sends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Stands before a server until it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    round_trips: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Passes everything on as it is.
    pub(crate) async fn start(port: u16) -> Self {
        Self::changing(port, |_| {}).await
    }

    /// Passes on what the client sends after `change` has seen it.
    pub(crate) async fn changing(port: u16, change: fn(&mut [u8])) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let round_trips = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&round_trips);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                tokio::spawn(relay(client, server, change, Arc::clone(&counter)));
            }
        });
        Self { address, round_trips, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// How many round trips there were since the last look.
    pub(crate) fn round_trips(&self) -> usize {
        self.round_trips.swap(0, Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A round trip begins whenever the client sends after the server did: what it sends before that is one pipeline.
async fn relay(
    mut client: TcpStream,
    mut server: TcpStream,
    change: fn(&mut [u8]),
    round_trips: Arc<AtomicUsize>,
) {
    let (mut sent, mut answered) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut clients_turn = true;
    loop {
        tokio::select! {
            read = client.read(&mut sent) => match read {
                Ok(length @ 1..) => {
                    if std::mem::take(&mut clients_turn) {
                        round_trips.fetch_add(1, Ordering::SeqCst);
                    }
                    change(&mut sent[..length]);
                    server.write_all(&sent[..length]).await.unwrap();
                }
                _ => return,
            },
            read = server.read(&mut answered) => match read {
                Ok(length @ 1..) => {
                    clients_turn = true;
                    client.write_all(&answered[..length]).await.unwrap();
                }
                _ => return,
            },
        }
    }
}
