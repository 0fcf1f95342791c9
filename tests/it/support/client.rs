//! A client that writes requests byte by byte, so that it can send what a well-behaved one would
//! not.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Server, patiently};

/// A request, to be sent on a connection of its own.
#[derive(Clone)]
pub(crate) struct Call {
    line: String,
    headers: Vec<u8>,
    body: Vec<u8>,
    chunked: bool,
    key: Vec<u8>,
}

pub(crate) fn call(method: &str, path: &str) -> Call {
    let line = format!("{method} {path} HTTP/1.1\r\n");
    Call { line, headers: Vec::new(), body: Vec::new(), chunked: false, key: Vec::new() }
}

pub(crate) fn post(path: &str) -> Call {
    call("POST", path)
}

pub(crate) fn patch(path: &str) -> Call {
    call("PATCH", path)
}

impl Call {
    pub(crate) fn key(mut self, value: impl AsRef<[u8]>) -> Self {
        self.key = value.as_ref().to_vec();
        self.header("X-Idempotency-Key", value)
    }

    /// Adds a header line; nothing is checked, and a name may come again.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        for part in [name.as_bytes(), b": ", value.as_ref(), b"\r\n"] {
            self.headers.extend_from_slice(part);
        }
        self
    }

    pub(crate) fn body(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.body = bytes.as_ref().to_vec();
        self
    }

    /// Sends the body in chunks, its length unsaid.
    pub(crate) fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// The request as it goes over the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.line.clone().into_bytes();
        bytes.extend_from_slice(b"Host: localhost\r\nConnection: close\r\n");
        bytes.extend_from_slice(&self.headers);
        if self.chunked {
            bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in self.body.chunks(self.body.len().div_ceil(3).max(1)) {
                bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
        } else {
            bytes.extend_from_slice(
                format!("Content-Length: {}\r\n\r\n", self.body.len()).as_bytes(),
            );
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }

    /// Sends the request and reads the response to its end.
    pub(crate) async fn send(&self, server: &Server) -> WireResponse {
        self.finish(self.begin(server, usize::MAX).await).await
    }

    /// Sends the first `length` bytes of the request and returns the connection. Dropping it hangs
    /// up.
    pub(crate) async fn begin(&self, server: &Server, length: usize) -> TcpStream {
        let bytes = self.bytes();
        write(server, &bytes[..length.min(bytes.len())]).await
    }

    /// Reads the response from a connection on which the request was sent.
    pub(crate) async fn finish(&self, stream: TcpStream) -> WireResponse {
        WireResponse { key: self.key.clone(), ..read(stream).await }
    }
}

/// Sends bytes that are perhaps not a request, and reads the response to its end.
pub(crate) async fn send_bytes(server: &Server, bytes: impl AsRef<[u8]>) -> WireResponse {
    read(write(server, bytes.as_ref()).await).await
}

async fn write(server: &Server, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    // The server may respond, and close, before it has read everything.
    let _ = stream.write_all(bytes).await;
    stream
}

async fn read(mut stream: TcpStream) -> WireResponse {
    let mut bytes = Vec::new();
    // A connection that was reset is one that was closed; what came before counts.
    let _ = patiently(stream.read_to_end(&mut bytes)).await;
    WireResponse::parse(&bytes)
}

/// A response as it came over the wire.
#[derive(Debug, Clone, Default)]
pub(crate) struct WireResponse {
    /// 0 if the server hung up without a response.
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// Whether the body came to its end.
    pub(crate) complete: bool,
    headers: Vec<(String, String)>,
    key: Vec<u8>,
}

impl WireResponse {
    fn parse(bytes: &[u8]) -> Self {
        let mut response = Self::default();
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return response;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        response.status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        response.headers = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let rest = &bytes[end + 4..];
        (response.body, response.complete) =
            if response.header("transfer-encoding") == Some("chunked") {
                unchunk(rest)
            } else {
                let length =
                    response.header("content-length").map_or(0, |length| length.parse().unwrap());
                (rest.to_vec(), rest.len() == length)
            };
        response
    }

    /// The value of a header that must not occur twice.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} occurs more than once: {all:?}");
        all.first().copied()
    }

    /// Every value of a header, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|line| line.0 == name).map(|line| &*line.1).collect()
    }

    /// The name of every header line, in order.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.headers.iter().map(|line| &*line.0).collect()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the response is text")
    }

    pub(crate) fn is_replay(&self) -> bool {
        self.header("x-idempotent-result") == Some("true")
    }

    /// Asserts that this is the handler's own response, whole and not a replay.
    #[track_caller]
    pub(crate) fn assert_first(&self, status: u16, text: &str) {
        assert_eq!((self.status, self.text()), (status, text), "{self:?}");
        assert!(self.complete, "{self:?}");
        assert_eq!(self.header("x-idempotent-result"), None, "{self:?}");
    }

    /// Asserts that this is a replay with the status and the bytes of `first`.
    #[track_caller]
    pub(crate) fn assert_replays(&self, first: &Self) {
        assert!(self.is_replay() && self.complete, "{self:?}");
        assert_eq!(self.status, first.status);
        assert!(self.body == first.body, "the replay has another body");
    }

    /// Asserts that this is a rejection with a whole problem document, the right advice on retries,
    /// and no key in it.
    #[track_caller]
    pub(crate) fn assert_rejected(&self, status: u16, code: &str) -> serde_json::Value {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.complete, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.header("x-idempotent-result"), None, "a rejection is not a result");
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["code"], code);
        for member in ["type", "title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        assert!(problem["type"].as_str().unwrap().parse::<http::Uri>().is_ok(), "{problem}");
        self.assert_advice(code);
        self.assert_no_key();
        problem
    }

    #[track_caller]
    fn assert_advice(&self, code: &str) {
        let row = super::rejections()
            .into_iter()
            .find(|row| row.code == code)
            .unwrap_or_else(|| panic!("{}", super::no_row(code)));
        let seconds = self.header("retry-after").map(|after| after.parse::<u64>().unwrap());
        assert_eq!(
            seconds.is_some_and(|seconds| seconds > 0),
            row.retry_after,
            "Retry-After: {self:?}"
        );
        let should_retry = row.should_retry.map(|flag| if flag { "true" } else { "false" });
        assert_eq!(self.header("x-should-retry"), should_retry, "X-Should-Retry: {self:?}");
    }

    /// Keys of a few bytes occur in any text; the tests for rejections use longer ones.
    #[track_caller]
    fn assert_no_key(&self) {
        if self.key.len() > 3 {
            let holds_key =
                |bytes: &[u8]| bytes.windows(self.key.len()).any(|window| window == self.key);
            assert!(!holds_key(&self.body), "the key is in the body");
            assert!(
                !self.headers.iter().any(|line| holds_key(line.1.as_bytes())),
                "the key is in a header"
            );
        }
    }
}

/// Joins the chunks; tells whether the last one came. Trailers are passed over.
fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return (body, true);
        }
        let Some(chunk) = rest.get(end + 2..end + 2 + size) else { break };
        body.extend_from_slice(chunk);
        rest = rest.get(end + 4 + size..).unwrap_or_default();
    }
    (body, false)
}
