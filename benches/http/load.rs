//! A closed loop over keep-alive connections. Each connection sends its next request after the
//! response to the previous one.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The header of the key that this crate reads by default.
pub(crate) const HEADER: &str = "X-Idempotency-Key";

/// How responses are marked as replays: by this crate and by its peers.
const MARKS: [&str; 3] =
    ["x-idempotent-result: true", "idempotent-replayed: true", "x-idempotent-replay: 1"];

#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) address: String,
    pub(crate) path: String,
    /// The header of the key.
    pub(crate) header: &'static str,
    pub(crate) keys: Keys,
    pub(crate) body: usize,
    pub(crate) connections: usize,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Keys {
    None,
    /// A new key for each request.
    Unique,
    /// The keys of a pool, repeatedly. They are replays after each key was sent once.
    Pool(u64),
}

/// The number of responses, and the time that they took.
pub(crate) struct Counted {
    pub(crate) responses: u64,
    /// Those whose head says that they are a replay.
    pub(crate) replays: u64,
    pub(crate) elapsed: Duration,
}

impl Counted {
    pub(crate) fn per_second(&self) -> f64 {
        self.responses as f64 / self.elapsed.as_secs_f64()
    }
}

impl Load {
    /// Sends requests until `most` have a response or `bound` has passed.
    pub(crate) fn run(&self, nonce: u64, most: u64, bound: Duration) -> Counted {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let start = Instant::now();
            let end = start + bound;
            let each = most.div_ceil(self.connections as u64);
            let loops: Vec<_> = (0..self.connections as u64)
                .map(|number| {
                    tokio::task::spawn_local(self.clone().connection(nonce, number, each, end))
                })
                .collect();
            let (mut responses, mut replays) = (0, 0);
            for task in loops {
                let of_one = task.await.unwrap();
                responses += of_one.0;
                replays += of_one.1;
            }
            Counted { responses, replays, elapsed: start.elapsed() }
        })
    }

    async fn connection(self, nonce: u64, number: u64, most: u64, end: Instant) -> (u64, u64) {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut request, key_at) = self.request();
        let mut buffer = vec![0; 2 << 20];
        let (mut sent, mut replays) = (0, 0);
        // No other load has replays, and the search costs time.
        let search = matches!(self.keys, Keys::Pool(_));
        while sent < most && Instant::now() < end {
            let of_all = sent * self.connections as u64 + number;
            let key = match self.keys {
                Keys::None => None,
                Keys::Unique => Some(of_all),
                Keys::Pool(size) => Some(of_all % size),
            };
            if let Some(key) = key {
                let key = format!("{nonce:016x}-{key:019}");
                request[key_at..key_at + 36].copy_from_slice(key.as_bytes());
            }
            stream.write_all(&request).await.unwrap();
            let (status, replay) = read_response(&mut stream, &mut buffer, search).await;
            assert!((200..300).contains(&status), "status {status}");
            sent += 1;
            replays += u64::from(replay);
        }
        (sent, replays)
    }

    /// The request, and the position of the 36 bytes of the key in it.
    fn request(&self) -> (Vec<u8>, usize) {
        let start = r#"{"amount":12345,"currency":"EUR","customer_id":"cus_9f8e7d6c5b4a3210","description":""#;
        let body = format!("{start}{}\"}}", "x".repeat(self.body.saturating_sub(start.len() + 2)));
        let mut request = format!(
            "POST {} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            self.path,
            body.len()
        );
        let mut key_at = 0;
        if self.keys != Keys::None {
            request += self.header;
            request += ": ";
            key_at = request.len();
            request += &" ".repeat(36);
            request += "\r\n";
        }
        request += "\r\n";
        request += &body;
        (request.into_bytes(), key_at)
    }
}

/// Reads one whole response. Returns its status, and whether a search finds the mark of a replay.
/// Responses here always have a length or no body.
async fn read_response(stream: &mut TcpStream, buffer: &mut [u8], search: bool) -> (u16, bool) {
    let mut filled = 0;
    let mut whole = usize::MAX;
    let mut replay = false;
    while filled < whole {
        let read = stream.read(&mut buffer[filled..]).await.unwrap();
        assert!(read > 0, "the server closed the connection");
        filled += read;
        if whole == usize::MAX
            && let Some(head) = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n")
        {
            let head_text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
            whole = head + 4 + content_length(&head_text);
            replay = search && marks_a_replay(&head_text);
        }
    }
    (std::str::from_utf8(&buffer[9..12]).unwrap().parse().unwrap(), replay)
}

/// True if the head has the mark by which this crate or a peer tells a replay.
fn marks_a_replay(head: &str) -> bool {
    MARKS.iter().any(|mark| head.contains(mark))
}

fn content_length(head: &str) -> usize {
    head.lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(0, |length| length.trim().parse().unwrap())
}
