//! Commands, packed as they go to a server, and how their replies are read.

use std::iter::from_fn;

use redis::{
    Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, ServerError, Value, from_redis_value,
};

use super::error::is_outage;

/// The most bytes that RESP adds to one argument: `$`, the length, and two line ends.
const FRAMING: usize = 25;

/// Commands that are sent to one server together. All their names are in one slot.
pub(super) struct Commands {
    packed: Vec<u8>,
    count: usize,
}

impl Commands {
    /// One command. Its first argument is its own name.
    pub(super) fn one(command: &[&[u8]]) -> Self {
        Self { packed: Vec::new(), count: 0 }.and(command)
    }

    /// Adds one more command.
    pub(super) fn and(mut self, command: &[&[u8]]) -> Self {
        let bytes: usize = command.iter().map(|argument| argument.len() + FRAMING).sum();
        self.packed.reserve(bytes + FRAMING);
        self.count += 1;
        self.number(b'*', command.len());
        for argument in command {
            self.number(b'$', argument.len());
            self.packed.extend_from_slice(argument);
            self.packed.extend_from_slice(b"\r\n");
        }
        self
    }

    fn number(&mut self, kind: u8, number: usize) {
        self.packed.push(kind);
        self.packed.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        self.packed.extend_from_slice(b"\r\n");
    }

    /// The number of commands, and of their replies.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// As they go to the server.
    pub(super) fn packed(&self) -> &[u8] {
        &self.packed
    }

    /// The arguments of each command.
    pub(super) fn iter(&self) -> impl Iterator<Item = Vec<&[u8]>> {
        let mut rest = &self.packed[..];
        from_fn(move || {
            let arguments = take_number(&mut rest)?;
            (0..arguments).map(|_| take_argument(&mut rest)).collect()
        })
    }

    /// The name of a record or body that the first command has.
    pub(super) fn name(&self) -> Option<&[u8]> {
        let first = self.iter().next()?;
        // The names of a script follow the script and their number.
        let at = if matches!(first.first(), Some(&(b"EVAL" | b"EVALSHA"))) { 3 } else { 1 };
        first.get(at).copied()
    }

    /// The same for a connection of the driver.
    pub(super) fn pipeline(&self) -> Pipeline {
        let mut pipeline = Pipeline::with_capacity(self.count);
        for command in self.iter() {
            let mut packed = Cmd::with_capacity(command.len(), self.packed.len());
            for argument in command {
                packed.arg(argument);
            }
            pipeline.add_command(packed);
        }
        pipeline
    }
}

/// A number of a frame, with its kind before it and its line end behind it.
fn take_number(rest: &mut &[u8]) -> Option<usize> {
    let end = rest.iter().position(|byte| *byte == b'\r')?;
    let number = std::str::from_utf8(rest.get(1..end)?).ok()?.parse().ok()?;
    *rest = &rest[end + 2..];
    Some(number)
}

fn take_argument<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_number(rest)?;
    let (argument, behind) = rest.split_at_checked(length)?;
    *rest = behind.get(2..)?;
    Some(argument)
}

/// The errors among the replies of a server.
pub(super) fn errors(replies: &[Value]) -> impl Iterator<Item = &ServerError> {
    replies.iter().filter_map(|reply| match reply {
        Value::ServerError(error) => Some(error),
        _ => None,
    })
}

/// The error of commands that a server has rejected. Of several, one that is not an outage says
/// more.
fn rejection(replies: &[Value]) -> Option<RedisError> {
    let certain = errors(replies).find(|error| !is_outage(error));
    certain.or_else(|| errors(replies).next()).map(|error| error.clone().into())
}

/// Reads the reply to each of several commands.
pub(super) fn all<T: FromRedisValue>(replies: Vec<Value>) -> RedisResult<T> {
    match rejection(&replies) {
        Some(error) => Err(error),
        None => Ok(from_redis_value(Value::Array(replies))?),
    }
}

/// Reads the reply to the last command. Those before it have not failed.
pub(super) fn last<T: FromRedisValue>(mut replies: Vec<Value>) -> RedisResult<T> {
    match rejection(&replies) {
        Some(error) => Err(error),
        None => Ok(from_redis_value(replies.pop().unwrap_or(Value::Nil))?),
    }
}
