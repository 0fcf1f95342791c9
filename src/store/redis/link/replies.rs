//! Reads the replies of a server as their bytes arrive.

use std::io;

use bytes::{Buf, BytesMut};
use redis::{RedisResult, Value, parse_redis_value};

/// How much is read at a time, in bytes.
const READ: usize = 16 << 10;
/// The same while a long reply arrives.
const LONG_READ: usize = 1 << 20;

/// The bytes of replies that have arrived.
#[derive(Default)]
pub(super) struct Replies(BytesMut);

/// How far the first reply has arrived.
#[derive(Debug, PartialEq, Eq)]
enum Arrived {
    /// Its length in bytes.
    Whole(usize),
    /// The least number of bytes that are missing.
    Missing(usize),
}

impl Replies {
    /// The buffer, with capacity for the next bytes.
    pub(super) fn buffer(&mut self) -> io::Result<&mut BytesMut> {
        let missing = match arrived(&self.0)? {
            Arrived::Missing(bytes) => bytes,
            Arrived::Whole(_) => 0,
        };
        // A long reply does not hold its memory for good.
        if self.0.is_empty() && self.0.capacity() > 4 * READ {
            self.0 = BytesMut::new();
        }
        if self.0.capacity() - self.0.len() < missing.max(READ / 4) {
            self.0.reserve(missing.clamp(READ, LONG_READ));
        }
        Ok(&mut self.0)
    }

    /// The next whole reply.
    pub(super) fn next(&mut self) -> RedisResult<Option<Value>> {
        while let Arrived::Whole(length) = arrived(&self.0)? {
            let reply = value(&self.0[..length])?;
            self.0.advance(length);
            // A push is not a reply to a command.
            if !matches!(reply, Value::Push { .. }) {
                return Ok(Some(reply));
            }
        }
        Ok(None)
    }
}

/// How far the first reply has arrived.
fn arrived(bytes: &[u8]) -> io::Result<Arrived> {
    let mut at = 0;
    // The parts of a list follow it.
    let mut parts = 1;
    while parts > 0 {
        let Some(line) = line(&bytes[at..]) else {
            return Ok(Arrived::Missing(1));
        };
        at += line.len() + 2;
        parts -= 1;
        match line.first() {
            Some(b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(') => {}
            Some(b'$' | b'=' | b'!') => {
                let length = number(line)?.map_or(0, |length| length.saturating_add(2));
                at = at.saturating_add(length);
            }
            Some(b'*' | b'~' | b'>') => parts = count(parts, 1, line)?,
            Some(b'%') => parts = count(parts, 2, line)?,
            // The reply follows its attributes.
            Some(b'|') => parts = count(parts + 1, 2, line)?,
            _ => return Err(malformed()),
        }
        if at > bytes.len() {
            return Ok(Arrived::Missing(at - bytes.len()));
        }
    }
    Ok(Arrived::Whole(at))
}

/// The first line, without its end.
fn line(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(2).position(|end| end == b"\r\n")?;
    Some(&bytes[..end])
}

/// The length or count in a line. `None` if there is no value.
fn number(line: &[u8]) -> io::Result<Option<usize>> {
    match &line[1..] {
        b"-1" => Ok(None),
        digits => {
            let number = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
            number.map(Some).ok_or_else(malformed)
        }
    }
}

/// How many parts are to come, including the parts of this list or map.
fn count(parts: usize, of_each: usize, line: &[u8]) -> io::Result<usize> {
    Ok(number(line)?.unwrap_or(0).saturating_mul(of_each).saturating_add(parts))
}

/// Reads one whole reply. Those that the commands of the store have most are read here.
fn value(reply: &[u8]) -> RedisResult<Value> {
    let Some(line) = line(reply) else { return Err(malformed().into()) };
    let behind = line.len() + 2;
    match (line[0], &line[1..]) {
        (b'_', _) | (b'$', b"-1") => Ok(Value::Nil),
        (b'$', _) => Ok(Value::BulkString(reply[behind..reply.len() - 2].to_vec())),
        (b':', digits) => {
            let number = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
            number.map(Value::Int).ok_or_else(|| malformed().into())
        }
        _ => parse_redis_value(reply).map_err(|_| malformed().into()),
    }
}

pub(super) fn malformed() -> io::Error {
    // As for a connection that broke: the commands may have been carried out.
    io::Error::new(io::ErrorKind::ConnectionAborted, "the replies of the server cannot be read")
}

#[cfg(test)]
mod tests;
