//! A client that sees every byte of a response.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Far longer than any response takes.
const BOUND: Duration = Duration::from_secs(30);

/// A request that can be sent more than once.
#[derive(Debug, Clone)]
pub(super) struct Call {
    method: &'static str,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// A payment with these knobs.
pub(super) fn pay(key: &str, sandbox: Value) -> Call {
    post("/payments").key(key).json(&serde_json::json!({
        "amount": 1200, "currency": "EUR", "to": "acct_2", "sandbox": sandbox,
    }))
}

/// A request of a caller, without a key.
pub(super) fn post(target: impl Into<String>) -> Call {
    Call::new("POST", target)
}

pub(super) fn get(target: impl Into<String>) -> Call {
    Call::new("GET", target)
}

impl Call {
    fn new(method: &'static str, target: impl Into<String>) -> Self {
        let call = Self { method, target: target.into(), headers: Vec::new(), body: Vec::new() };
        call.header("Authorization", "Bearer acct_1")
    }

    pub(super) fn key(self, key: &str) -> Self {
        self.header("X-Idempotency-Key", key)
    }

    pub(super) fn to(self, target: impl Into<String>) -> Self {
        Self { target: target.into(), ..self }
    }

    pub(super) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// The same without a header.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(found, _)| found != name);
        self
    }

    pub(super) fn json(self, body: &Value) -> Self {
        self.without("Content-Type")
            .header("Content-Type", "application/json")
            .body(body.to_string())
    }

    pub(super) fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// Sends it, and returns the connection.
    pub(super) fn begin(&self, server: SocketAddr) -> Running {
        self.try_to_begin(server).unwrap()
    }

    /// The same for a server that may not listen, or may end just now.
    pub(super) fn try_to_begin(&self, server: SocketAddr) -> io::Result<Running> {
        let mut stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(BOUND))?;
        let mut bytes = format!(
            "{} {} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n",
            self.method, self.target
        )
        .into_bytes();
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        if self.method == "POST" {
            bytes.extend(format!("Content-Length: {}\r\n", self.body.len()).bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        // A server that rejects a body need not read it.
        let _ = stream.write_all(&bytes);
        Ok(Running(stream))
    }

    pub(super) fn send(&self, server: SocketAddr) -> Answer {
        let answer = self.begin(server).answer().expect("the server sends a response");
        assert!(answer.is_complete, "the response breaks off: {answer:?}");
        answer
    }
}

/// A request whose response was not read yet.
pub(super) struct Running(TcpStream);

impl Running {
    /// The response. `None` if the connection ends before its head does.
    pub(super) fn answer(mut self) -> Option<Answer> {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                panic!("no response came in {BOUND:?}")
            }
            _ => Answer::parse(&bytes),
        }
    }

    pub(super) fn hang_up(self) {
        self.0.shutdown(Shutdown::Both).unwrap();
    }
}

/// A response.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The names are in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Whether it came to its end.
    pub(super) is_complete: bool,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        let beginning: String = body.chars().take(300).collect();
        write!(f, "{} {:?} {beginning} {}", self.status, self.headers, self.is_complete)
    }
}

impl Answer {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let (head, rest) = (std::str::from_utf8(&bytes[..end]).unwrap(), &bytes[end + 4..]);
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        let headers = lines.map(header).collect();
        let mut answer = Self { status, headers, body: Vec::new(), is_complete: true };
        (answer.body, answer.is_complete) = match answer.header("content-length") {
            Some(length) => (rest.to_vec(), length.parse() == Ok(rest.len())),
            None if answer.header("transfer-encoding").is_some() => joined(rest),
            None => (rest.to_vec(), status == 204 && rest.is_empty()),
        };
        Some(answer)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(found, _)| found == name);
        let (_, value) = found.next()?;
        assert!(found.next().is_none(), "{name} is there more than once: {self:?}");
        Some(value)
    }

    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let found = self.headers.iter().filter(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str()).collect()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub(super) fn code(&self) -> Option<String> {
        let document: Value = serde_json::from_slice(&self.body).ok()?;
        Some(document.get("code")?.as_str()?.to_owned())
    }

    /// Whether it was stored before.
    pub(super) fn is_replay(&self) -> bool {
        self.header("x-idempotent-result") == Some("true")
    }

    /// The attempt that made this receipt, what it was told of the one before, and whether it was
    /// told to be in doubt.
    pub(super) fn told(&self) -> (u64, Option<String>, bool) {
        let receipt = self.json();
        (
            receipt["attempt"].as_u64().unwrap(),
            receipt["previous"].as_str().map(str::to_owned),
            receipt["in_doubt"] == "true",
        )
    }
}

/// The body in these chunks, and whether the last one is there.
fn joined(mut chunks: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = chunks.windows(2).position(|window| window == b"\r\n") else {
            return (body, false);
        };
        let digits = std::str::from_utf8(&chunks[..end]).unwrap();
        let length = usize::from_str_radix(digits, 16).unwrap();
        let rest = &chunks[end + 2..];
        if length == 0 {
            return (body, rest == b"\r\n");
        }
        body.extend(&rest[..length.min(rest.len())]);
        let Some(next) = rest.get(length + 2..) else { return (body, false) };
        chunks = next;
    }
}
