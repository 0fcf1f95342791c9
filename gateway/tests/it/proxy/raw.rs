//! Connections on which each byte counts: no library tidies up what is sent or read.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// What something gives that must come.
pub(super) async fn in_time<T>(what: &str, something: impl Future<Output = T>) -> T {
    let given = tokio::time::timeout(PATIENCE, something).await;
    given.unwrap_or_else(|_| panic!("this has not happened: {what}"))
}

/// Bytes that a task adds to.
pub(super) type Bytes = Arc<Mutex<Vec<u8>>>;

/// One side of a connection.
pub(super) struct Raw {
    stream: TcpStream,
    unread: Vec<u8>,
    /// All that was read.
    pub(super) seen: Bytes,
}

/// The head of a message.
#[derive(Clone)]
pub(super) struct Head {
    /// The first line.
    pub(super) first: String,
    pub(super) headers: Vec<(String, String)>,
}

/// A message.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) head: Head,
    pub(super) body: Vec<u8>,
    /// The lines after a chunked body.
    pub(super) trailers: Vec<(String, String)>,
}

impl Raw {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).await.unwrap())
    }

    pub(super) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, unread: Vec::new(), seen: Arc::default() }
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        in_time("bytes are taken", self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Sends what the other side may not take, because it has closed.
    pub(super) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        in_time("bytes are taken", self.stream.write_all(bytes.as_ref())).await.is_ok()
    }

    /// Says that nothing comes after what was sent.
    pub(super) async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Closes the connection with a reset.
    pub(super) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// Reads more. `false`: nothing will come.
    async fn more(&mut self) -> bool {
        let mut piece = vec![0; 64 << 10];
        let read = in_time("bytes come", self.stream.read(&mut piece)).await;
        let piece = &piece[..read.unwrap_or(0)];
        self.unread.extend_from_slice(piece);
        self.seen.lock().unwrap().extend_from_slice(piece);
        !piece.is_empty()
    }

    /// So many bytes, or as many as there are.
    pub(super) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count && self.more().await {}
        let count = count.min(self.unread.len());
        self.unread.drain(..count).collect()
    }

    /// Reads so many bytes, or as many as there are, and keeps none. Returns their count.
    pub(super) async fn skip(&mut self, count: usize) -> usize {
        let mut left = count - self.unread.drain(..count.min(self.unread.len())).len();
        let mut piece = vec![0; 64 << 10];
        while left > 0 {
            let most = left.min(piece.len());
            match in_time("bytes come", self.stream.read(&mut piece[..most])).await {
                Ok(0) | Err(_) => break,
                Ok(read) => left -= read,
            }
        }
        count - left
    }

    /// The next bytes, or nothing at the end.
    pub(super) async fn some(&mut self) -> Vec<u8> {
        if self.unread.is_empty() {
            self.more().await;
        }
        std::mem::take(&mut self.unread)
    }

    /// A line without its end. `None`: there is no whole one.
    pub(super) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// All bytes until the other side closes.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.unread)
    }

    /// Waits until the other side has closed without another byte.
    pub(super) async fn is_closed(&mut self) -> bool {
        self.rest().await.is_empty()
    }

    async fn headers(&mut self) -> Option<Vec<(String, String)>> {
        let mut headers = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Some(headers);
            }
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("a line `{line}`"));
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// `None`: the other side has closed before it.
    pub(super) async fn head(&mut self) -> Option<Head> {
        let first = self.line().await?;
        Some(Head { first, headers: self.headers().await? })
    }

    /// A chunk. An empty one is the last.
    pub(super) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = self.line().await?;
        let size = usize::from_str_radix(size.split(';').next().unwrap().trim(), 16).unwrap();
        let chunk = self.bytes(size).await;
        if size > 0 {
            assert_eq!(self.line().await.as_deref(), Some(""), "the end of a chunk");
        }
        (chunk.len() == size).then_some(chunk)
    }

    /// The message that a head began. `None`: it broke off.
    async fn message(&mut self, head: Head, is_until_end: bool) -> Option<Message> {
        let (mut body, mut trailers) = (Vec::new(), Vec::new());
        if head.has("transfer-encoding") {
            loop {
                let chunk = self.chunk().await?;
                if chunk.is_empty() {
                    break;
                }
                body.extend(chunk);
            }
            trailers = self.headers().await?;
        } else if let Some(length) = head.get("content-length") {
            let length: usize = length.parse().unwrap();
            body = self.bytes(length).await;
            if body.len() < length {
                return None;
            }
        } else if is_until_end {
            body = self.rest().await;
        }
        Some(Message { head, body, trailers })
    }

    /// A request, as an upstream reads it.
    pub(super) async fn request(&mut self) -> Option<Message> {
        let head = self.head().await?;
        self.message(head, false).await
    }

    /// A response to any method but HEAD, as a client reads it.
    pub(super) async fn response(&mut self) -> Message {
        self.try_response().await.expect("a whole response")
    }

    /// `None`: it has not come, or broke off.
    pub(super) async fn try_response(&mut self) -> Option<Message> {
        let head = self.head().await?;
        let has_body = !matches!(head.status(), 100..=199 | 204 | 304);
        if has_body { self.message(head, true).await } else { Some(Message::from(head)) }
    }

    /// Sends a request, and reads the response.
    pub(super) async fn ask(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.send(request).await;
        self.response().await
    }
}

impl From<Head> for Message {
    fn from(head: Head) -> Self {
        Self { head, body: Vec::new(), trailers: Vec::new() }
    }
}

impl Message {
    pub(super) fn status(&self) -> u16 {
        self.head.status()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `code` of a problem document.
    pub(super) fn code(&self) -> String {
        assert_eq!(self.head.get("content-type"), Some("application/problem+json"), "{self:?}");
        let document: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(document["status"], self.status(), "{document}");
        document["code"].as_str().unwrap().to_owned()
    }
}

impl Head {
    pub(super) fn status(&self) -> u16 {
        self.first.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let of_name = self.headers.iter().filter(|(found, _)| found == name);
        of_name.map(|(_, value)| value.as_str()).collect()
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.first, self.headers)
    }
}
