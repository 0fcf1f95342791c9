//! The network between processes and server: its connections break, and its load balancers respond
//! in place of the server.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::payer::ATTEMPT;
use crate::support::lossy::message;
use crate::support::random::Draw;

/// The network in front of a server until the test ends. Clones are the same network.
#[derive(Clone)]
pub(super) struct Network {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    draw: Mutex<Draw>,
    is_calm: watch::Sender<bool>,
    fates: Mutex<BTreeMap<Fate, usize>>,
    requests: watch::Sender<usize>,
}

/// What becomes of a request and its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Pass,
    Slow,
    /// It arrives when the client has stopped waiting.
    Late,
    LoseRequest,
    LoseResponse,
    CutResponse,
    /// A load balancer responds, and the server has nothing of it.
    Respond(u16),
    /// The server has the request, and a load balancer responds in its place.
    Mask(u16),
}

use Fate::{CutResponse, Late, LoseRequest, LoseResponse, Mask, Pass, Respond, Slow};

impl Network {
    pub(super) async fn start(server: SocketAddr, draw: Draw) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            server,
            draw: Mutex::new(draw),
            is_calm: watch::Sender::new(false),
            fates: Mutex::default(),
            requests: watch::Sender::new(0),
        });
        let network = Self { address: listener.local_addr().unwrap(), shared };
        let relays = Arc::clone(&network.shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let relays = Arc::clone(&relays);
                // A side that hangs up ends the connection, which is all that an error says.
                tokio::spawn(async move { relays.relay(client).await.unwrap_or(()) });
            }
        });
        network
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes everything on from now on.
    pub(super) fn calm(&self) {
        self.shared.is_calm.send_replace(true);
    }

    /// Waits for so many requests more.
    pub(super) async fn passes(&self, requests: usize) {
        let mut counter = self.shared.requests.subscribe();
        let until = *counter.borrow() + requests;
        counter.wait_for(|requests| *requests >= until).await.expect("self holds the sender");
    }

    /// How often what happened.
    pub(super) fn fates(&self) -> String {
        format!("{:?}", self.shared.fates.lock().unwrap())
    }
}

impl Shared {
    async fn relay(&self, mut client: TcpStream) -> io::Result<()> {
        let mut server = TcpStream::connect(self.server).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (mut from_client, mut from_server) = (Vec::new(), Vec::new());
        while let Some(request) = message(&mut client, &mut from_client).await? {
            self.requests.send_modify(|requests| *requests += 1);
            if request.starts_with(b"GET /login") {
                client.write_all(&response(200)).await?;
                continue;
            }
            let (fate, wait) = self.fate();
            match fate {
                Respond(status) => {
                    client.write_all(&response(status)).await?;
                    continue;
                }
                LoseRequest => break,
                Slow | Late => tokio::time::sleep(wait).await,
                _ => {}
            }
            server.write_all(&request).await?;
            let Some(reply) = message(&mut server, &mut from_server).await? else { break };
            match fate {
                LoseResponse => break,
                CutResponse => {
                    client.write_all(&reply[..reply.len() - 1]).await?;
                    break;
                }
                Mask(status) => client.write_all(&response(status)).await?,
                _ => client.write_all(&reply).await?,
            }
        }
        Ok(())
    }

    /// Draws what becomes of a request, and how long a slow one takes.
    fn fate(&self) -> (Fate, Duration) {
        let mut draw = self.draw.lock().unwrap();
        let (chance, slow) = (draw.index(100), draw.millis(1, 30));
        let fate = match chance {
            _ if *self.is_calm.borrow() => Pass,
            0..10 => LoseRequest,
            10..20 => LoseResponse,
            20..28 => CutResponse,
            28..36 => Slow,
            36 => Late,
            37..57 => Respond(draw.one_of(&[302, 303, 403, 404, 410, 421, 500, 503, 520])),
            57..63 => Mask(draw.one_of(&[408, 500, 502, 503, 504, 520, 524])),
            _ => Pass,
        };
        *self.fates.lock().unwrap().entry(fate).or_default() += 1;
        (fate, if fate == Late { ATTEMPT * 3 / 2 } else { slow })
    }
}

/// The page of a load balancer.
fn response(status: u16) -> Vec<u8> {
    let location = if matches!(status, 302 | 303) { "location: /login\r\n" } else { "" };
    format!("HTTP/1.1 {status} So\r\n{location}content-length: 4\r\n\r\npage").into_bytes()
}
