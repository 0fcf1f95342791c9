//! What listens at an address where the handshake of a store fails.
//!
//! Nothing is sent that the URL of the store contains.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long it may take to reply.
const REPLY: Duration = Duration::from_millis(250);

/// A protocol that is known by its first reply, which no other would give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Redis,
    Postgres,
    Http,
    Tls,
}

/// The protocol of what listens, if it is known and is another than the one that was tried.
pub(crate) async fn speaks_other(host: &str, port: u16, tried: Protocol) -> Option<Protocol> {
    let (redis, postgres, http, tls) = tokio::join!(
        reply(host, port, PING),
        reply(host, port, SSL_REQUEST),
        reply(host, port, OPTIONS),
        reply(host, port, CLIENT_HELLO),
    );
    let begins = |reply: &[u8], words: &[&[u8]]| words.iter().any(|word| reply.starts_with(word));
    // A server that has TLS too replies to both, so TLS is last.
    let spoken = if begins(&redis, &OF_REDIS) {
        Protocol::Redis
    } else if matches!(&postgres[..], b"S" | b"N") {
        Protocol::Postgres
    } else if [redis, http].iter().any(|reply| begins(reply, &[b"HTTP/1."])) {
        Protocol::Http
    } else if begins(&tls, &[b"\x15\x03", b"\x16\x03"]) {
        Protocol::Tls
    } else {
        return None;
    };
    (spoken != tried).then_some(spoken)
}

/// The first bytes of the reply to some bytes. Empty if there is none in time.
async fn reply(host: &str, port: u16, sent: &[u8]) -> Vec<u8> {
    let mut reply = Vec::new();
    let asked = async {
        let mut socket = TcpStream::connect((host, port)).await?;
        socket.write_all(sent).await?;
        while reply.len() < LONGEST && socket.read_buf(&mut reply).await? > 0 {}
        io::Result::Ok(())
    };
    // What came before an error counts.
    let _ = timeout(REPLY, asked).await;
    reply
}

/// Enough to tell one protocol from the others.
const LONGEST: usize = 8;
const PING: &[u8] = b"PING\r\n";
/// How Redis replies to a `PING` of any client.
const OF_REDIS: [&[u8]; 5] = [b"+PONG", b"-NOAUTH", b"-NOPERM", b"-LOADING", b"-DENIED"];
const OPTIONS: &[u8] = b"OPTIONS * HTTP/1.0\r\n\r\n";
/// The question of a client of PostgreSQL whether the server has TLS.
const SSL_REQUEST: &[u8] = b"\x00\x00\x00\x08\x04\xd2\x16\x2f";
/// The least greeting of TLS 1.2. A server of any version replies, with an alert at least.
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03\
    is there a server that has TLS ?\
    \x00\x00\x04\xc0\x2f\x00\x2f\x01\x00";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_of_tls_has_the_lengths_that_it_says() {
        assert_eq!(CLIENT_HELLO.len(), 5 + 0x2f);
        assert_eq!(CLIENT_HELLO.len(), 9 + 0x2b);
    }
}
