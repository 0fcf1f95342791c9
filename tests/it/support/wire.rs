//! A TCP proxy that acts as a bad network: it delays, holds back, loses and cuts the traffic
//! through it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::patiently;

/// What happens to the traffic in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Pass,
    /// Passes after this time.
    Delay(Duration),
    /// Stays where it is until the way is another one, and comes late.
    Hold,
    /// Never arrives. The connection is cut when the way is another one.
    Lose,
    /// Never arrives, and the connection is cut instead.
    Sever,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Open {
        requests: Way,
        replies: Way,
    },
    /// Every connection is cut, and every new one too.
    Closed,
}

impl State {
    pub(crate) const FINE: Self = Self::Open { requests: Way::Pass, replies: Way::Pass };

    fn way(self, direction: Direction) -> Option<Way> {
        match (self, direction) {
            (Self::Closed, _) => None,
            (Self::Open { requests, .. }, Direction::Request) => Some(requests),
            (Self::Open { replies, .. }, Direction::Reply) => Some(replies),
        }
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Request,
    Reply,
}

/// How much has come from either side, whatever became of it.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Traffic {
    pub(crate) requests: usize,
    pub(crate) replies: usize,
}

/// A proxy in front of a server until it is dropped.
pub(crate) struct Wire {
    address: SocketAddr,
    state: watch::Sender<State>,
    seen: watch::Sender<Traffic>,
    accepting: JoinHandle<()>,
}

impl Wire {
    /// Leads to a port of this host, and passes everything on.
    pub(crate) async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, seen) =
            (watch::Sender::new(State::FINE), watch::Sender::new(Traffic::default()));
        let (states, counter) = (state.clone(), seen.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let pumps = [Direction::Request, Direction::Reply].map(|direction| Pump {
                    direction,
                    state: states.subscribe(),
                    seen: counter.clone(),
                });
                tokio::spawn(relay(client, port, pumps));
            }
        });
        Self { address, state, seen, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn set(&self, state: State) {
        self.state.send_replace(state);
    }

    /// Waits until something more has come from the client, or from the server, than `before`.
    pub(crate) async fn reached(&self, further: impl Fn(&Traffic) -> bool) {
        let mut seen = self.seen.subscribe();
        patiently(seen.wait_for(|seen| further(seen))).await.expect("self holds the sender");
    }

    pub(crate) fn seen(&self) -> Traffic {
        *self.seen.borrow()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
        self.state.send_replace(State::Closed);
    }
}

async fn relay(client: TcpStream, port: u16, [requests, replies]: [Pump; 2]) {
    if *requests.state.borrow() == State::Closed {
        return;
    }
    // The server may be down; the client then finds its connection cut.
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    // Either end is the end of both.
    tokio::select! {
        () = requests.run(from_client, to_server) => {}
        () = replies.run(from_server, to_client) => {}
    }
}

/// One direction of one connection.
struct Pump {
    direction: Direction,
    state: watch::Receiver<State>,
    seen: watch::Sender<Traffic>,
}

impl Pump {
    async fn run(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut buffer = vec![0; 1 << 16];
        let mut has_lost = false;
        loop {
            let length = tokio::select! {
                read = from.read(&mut buffer) => match read {
                    Ok(length @ 1..) => length,
                    _ => return,
                },
                changed = self.state.changed() => {
                    if changed.is_err() || self.is_over(has_lost) {
                        return;
                    }
                    continue;
                }
            };
            self.seen.send_modify(|seen| match self.direction {
                Direction::Request => seen.requests += 1,
                Direction::Reply => seen.replies += 1,
            });
            match self.way().await {
                Some(Way::Lose) => has_lost = true,
                Some(_) if !has_lost => {
                    if to.write_all(&buffer[..length]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            }
        }
    }

    /// The fate of a piece that has come, once it is decided; `None` to cut the connection.
    async fn way(&mut self) -> Option<Way> {
        loop {
            let way = self.state.borrow_and_update().way(self.direction)?;
            match way {
                Way::Sever => return None,
                Way::Hold => self.state.changed().await.ok()?,
                Way::Delay(pause) => {
                    let changed = tokio::time::timeout(pause, self.state.changed()).await;
                    if changed.is_err() {
                        return Some(Way::Pass);
                    }
                }
                Way::Pass | Way::Lose => return Some(way),
            }
        }
    }

    fn is_over(&mut self, has_lost: bool) -> bool {
        match self.state.borrow_and_update().way(self.direction) {
            None => true,
            Some(way) => has_lost && way != Way::Lose,
        }
    }
}
