//! Commands, packed as they go to a server, and how their replies are read.

use std::iter::from_fn;

use redis::{
    Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, ServerError, Value, from_redis_value,
};

use super::error::is_outage;

/// About as many bytes as RESP adds to an argument: `$`, the length, and two line ends.
const FRAMING: usize = 10;

/// Commands that are sent to one server together. All their names are in one slot.
pub(super) struct Commands {
    packed: Vec<u8>,
    count: usize,
}

impl Commands {
    /// The arguments of each command. The first one is the name of the command.
    pub(super) fn of(commands: &[&[&[u8]]]) -> Self {
        let mut all = Self::with_capacity_for(commands);
        for command in commands {
            all.add(&[command]);
        }
        all
    }

    /// No commands yet, and capacity for some with all these arguments.
    pub(super) fn with_capacity_for(arguments: &[&[&[u8]]]) -> Self {
        let arguments = arguments.iter().flat_map(|part| part.iter());
        let bytes: usize = arguments.map(|argument| argument.len() + FRAMING).sum();
        Self { packed: Vec::with_capacity(bytes + 2 * FRAMING), count: 0 }
    }

    /// Adds one command, whose arguments are in parts.
    pub(super) fn add(&mut self, parts: &[&[&[u8]]]) {
        self.count += 1;
        self.number(b'*', parts.iter().map(|part| part.len()).sum());
        for argument in parts.iter().flat_map(|part| part.iter()) {
            self.number(b'$', argument.len());
            self.packed.extend_from_slice(argument);
            self.packed.extend_from_slice(b"\r\n");
        }
    }

    fn number(&mut self, kind: u8, number: usize) {
        const DIGITS: [u8; 10] = *b"0123456789";
        match number {
            0..10 => self.packed.extend_from_slice(&[kind, DIGITS[number], b'\r', b'\n']),
            10..100 => {
                let digits = [DIGITS[number / 10], DIGITS[number % 10]];
                self.packed.extend_from_slice(&[kind, digits[0], digits[1], b'\r', b'\n']);
            }
            _ => {
                self.packed.push(kind);
                self.packed.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
                self.packed.extend_from_slice(b"\r\n");
            }
        }
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

    /// The same, with a script by its source in place of its digest.
    pub(super) fn by_source(&self, source: &str) -> Self {
        let mut all = Self::of(&[]);
        for command in self.iter() {
            match &command[..] {
                [b"EVALSHA", _, rest @ ..] => all.add(&[&[b"EVAL", source.as_bytes()], rest]),
                other => all.add(&[other]),
            }
        }
        all
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

#[cfg(test)]
mod tests;
