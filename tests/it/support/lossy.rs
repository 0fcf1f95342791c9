//! A TCP proxy that understands HTTP/1.1 enough to lose responses: the request has arrived and was
//! done, and the client does not learn of it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::random::Draw;

/// How often something happens to a response, in percent, and how long one is held back at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Losses {
    /// Of all responses. Half of these break off in their middle, the others do not come at all.
    pub(crate) lost: u64,
    /// Of those that are not lost.
    pub(crate) delayed: u64,
    pub(crate) delay: Duration,
}

/// What came through so far.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Passed {
    pub(crate) requests: usize,
    pub(crate) lost: usize,
    pub(crate) cut: usize,
    pub(crate) delayed: usize,
}

/// A proxy in front of a server until it is dropped.
pub(crate) struct Lossy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    server: SocketAddr,
    losses: Losses,
    state: Mutex<(Draw, Passed)>,
}

/// What becomes of a response.
enum Fate {
    Pass(Duration),
    Lose,
    Cut,
}

impl Lossy {
    pub(crate) async fn start(server: SocketAddr, losses: Losses, draw: Draw) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { server, losses, state: Mutex::new((draw, Passed::default())) });
        let relays = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let relays = Arc::clone(&relays);
                // A side that hangs up ends the connection, which is all that an error says.
                tokio::spawn(async move { relays.relay(client).await.unwrap_or(()) });
            }
        });
        Self { address, shared, accepting }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn passed(&self) -> Passed {
        self.shared.state.lock().unwrap().1
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    async fn relay(&self, mut client: TcpStream) -> io::Result<()> {
        let mut server = TcpStream::connect(self.server).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (mut from_client, mut from_server) = (Vec::new(), Vec::new());
        while let Some(request) = message(&mut client, &mut from_client).await? {
            server.write_all(&request).await?;
            let Some(response) = message(&mut server, &mut from_server).await? else { break };
            match self.fate() {
                Fate::Pass(wait) => {
                    tokio::time::sleep(wait).await;
                    client.write_all(&response).await?;
                }
                Fate::Lose => break,
                Fate::Cut => {
                    client.write_all(&response[..response.len() / 2]).await?;
                    break;
                }
            }
        }
        Ok(())
    }

    fn fate(&self) -> Fate {
        let (draw, passed) = &mut *self.state.lock().unwrap();
        passed.requests += 1;
        if draw.chance(self.losses.lost) {
            passed.lost += 1;
            if draw.chance(50) {
                passed.cut += 1;
                return Fate::Cut;
            }
            return Fate::Lose;
        }
        if draw.chance(self.losses.delayed) {
            passed.delayed += 1;
            let most = u64::try_from(self.losses.delay.as_millis()).unwrap();
            return Fate::Pass(draw.millis(0, most));
        }
        Fate::Pass(Duration::ZERO)
    }
}

/// Reads a request or a response to its end. `None` if the connection ends before it.
pub(crate) async fn message(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<Vec<u8>>> {
    loop {
        if let Some(length) = length(buffer)
            && buffer.len() >= length
        {
            let rest = buffer.split_off(length);
            return Ok(Some(std::mem::replace(buffer, rest)));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// How long a message is that has begun with these bytes, once its head is there. Bodies in chunks
/// are not understood.
fn length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let lines = std::str::from_utf8(&bytes[..head]).unwrap().to_ascii_lowercase();
    assert!(!lines.contains("transfer-encoding"), "this proxy does not understand chunks");
    let body = lines.lines().find_map(|line| line.strip_prefix("content-length:"));
    Some(head + body.map_or(0, |length| length.trim().parse().unwrap()))
}
