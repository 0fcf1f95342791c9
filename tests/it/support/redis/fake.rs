//! A server that says what a test wants it to say.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The reply to the words of a command, and its delay.
type MakeReply = dyn Fn(&[String]) -> (Duration, String) + Send + Sync;

/// Serves until it is dropped.
pub(crate) struct Fake {
    port: u16,
    seen: Arc<Mutex<BTreeMap<String, usize>>>,
    _serving: JoinSet<()>,
}

impl Fake {
    /// Serves on a port that is bound already, so that servers can name each other.
    pub(crate) fn start(
        listener: TcpListener,
        responses: impl Fn(&[String]) -> (Duration, String) + Send + Sync + 'static,
    ) -> Self {
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<Mutex<BTreeMap<String, usize>>>::default();
        let (responses, counted): (Arc<MakeReply>, _) = (Arc::new(responses), Arc::clone(&seen));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(serve(socket, Arc::clone(&responses), Arc::clone(&counted)));
            }
        });
        Self { port, seen, _serving: serving }
    }

    pub(crate) async fn listener() -> (TcpListener, u16) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// How often a command came, by its first word. Each connection begins with `HELLO`.
    pub(crate) fn seen(&self, command: &str) -> usize {
        self.seen.lock().unwrap().get(command).copied().unwrap_or_default()
    }
}

/// The reply of a server that reports no error and has no record.
pub(crate) fn fine(words: &[String]) -> String {
    let response = match words[0].as_str() {
        "HELLO" => "%0\r\n",
        "SET" => "_\r\n",
        "PTTL" => ":-2\r\n",
        "INFO" => "-NOPERM no\r\n",
        _ => "+OK\r\n",
    };
    response.to_owned()
}

/// A reply to `CLUSTER SLOTS`: one server has all slots.
pub(crate) fn all_slots_at(host: &str, port: u16) -> String {
    format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n${}\r\n{host}\r\n:{port}\r\n", host.len())
}

async fn serve(
    socket: TcpStream,
    responses: Arc<MakeReply>,
    seen: Arc<Mutex<BTreeMap<String, usize>>>,
) {
    let mut socket = BufReader::new(socket);
    while let Some(words) = words(&mut socket).await {
        *seen.lock().unwrap().entry(words[0].clone()).or_default() += 1;
        let (delay, response) = responses(&words);
        sleep(delay).await;
        if socket.write_all(response.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Reads a command; `None` at the end.
async fn words(socket: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let mut words = Vec::new();
    for _ in 0..number(socket).await? {
        let mut word = vec![0; number(socket).await? + 2];
        socket.read_exact(&mut word).await.ok()?;
        word.truncate(word.len() - 2);
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    Some(words)
}

async fn number(socket: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut line = String::new();
    socket.read_line(&mut line).await.ok()?;
    line.get(1..)?.trim_end().parse().ok()
}
