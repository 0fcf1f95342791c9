//! A TCP proxy that counts round trips, and can lead elsewhere and fall silent.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A proxy in front of a server until it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    port: Arc<AtomicU16>,
    round_trips: Arc<AtomicUsize>,
    silenced: watch::Sender<()>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Passes everything on as it is.
    pub(crate) async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let port = Arc::new(AtomicU16::new(port));
        let round_trips = Arc::new(AtomicUsize::new(0));
        let silenced = watch::Sender::new(());
        let (target, counter, silence) =
            (Arc::clone(&port), Arc::clone(&round_trips), silenced.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server =
                    TcpStream::connect(("127.0.0.1", target.load(Ordering::SeqCst))).await.unwrap();
                let mut silenced = silence.subscribe();
                let relay = relay(client, server, Arc::clone(&counter));
                tokio::spawn(async move {
                    let mut relay = std::pin::pin!(relay);
                    tokio::select! {
                        () = &mut relay => {}
                        // The sockets stay open, and nothing passes through them any more.
                        _ = silenced.changed() => pending().await,
                    }
                });
            }
        });
        Self { address, port, round_trips, silenced, accepting }
    }

    /// Leads new connections to another port. Those that exist stay where they are.
    pub(crate) fn lead_to(&self, port: u16) {
        self.port.store(port, Ordering::SeqCst);
    }

    /// Passes nothing on any more in the connections that exist, and leaves them open.
    pub(crate) fn silence(&self) {
        self.silenced.send_replace(());
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
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

/// A round trip begins whenever the client sends after the server did: what it sends before that is
/// one pipeline.
async fn relay(mut client: TcpStream, mut server: TcpStream, round_trips: Arc<AtomicUsize>) {
    let (mut sent, mut received) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut clients_turn = true;
    loop {
        tokio::select! {
            read = client.read(&mut sent) => match read {
                Ok(length @ 1..) => {
                    if std::mem::take(&mut clients_turn) {
                        round_trips.fetch_add(1, Ordering::SeqCst);
                    }
                    server.write_all(&sent[..length]).await.unwrap();
                }
                _ => return,
            },
            read = server.read(&mut received) => match read {
                Ok(length @ 1..) => {
                    clients_turn = true;
                    client.write_all(&received[..length]).await.unwrap();
                }
                _ => return,
            },
        }
    }
}
