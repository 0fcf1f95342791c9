//! Scripts, sent by their digest; by their source to a server that does not know them yet.

use std::ops::Deref;
use std::sync::LazyLock;

use redis::{FromRedisValue, RedisResult, Value};

use super::Connection;
use super::commands::{Commands, last};
use super::error::{is_broken, is_no_script, second};

pub(super) static RESERVE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/reserve.lua")));
pub(super) static TAKE_OVER: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/take_over.lua")));
pub(super) static SETTLE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/settle.lua")));
pub(super) static RELEASE: LazyLock<Script> =
    LazyLock::new(|| Script::once(include_str!("scripts/release.lua")));
pub(super) static RENEW: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/renew.lua")));
pub(super) static INTERVENE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/intervene.lua")));

pub(super) struct Script {
    source: &'static str,
    digest: String,
    /// Whether it recognizes its own work, so that it may be sent a second time.
    knows_itself: bool,
}

impl Script {
    fn new(source: &'static str) -> Self {
        let digest = redis::Script::new(source).get_hash().to_owned();
        Self { source, digest, knows_itself: true }
    }

    fn once(source: &'static str) -> Self {
        Self { knows_itself: false, ..Self::new(source) }
    }

    /// Runs the script, behind another command whose reply is ignored, in one round trip.
    ///
    /// The commands are packed at once, so the arguments need not live as long as the future.
    pub(super) fn run<'a, T: FromRedisValue + Send>(
        &'static self,
        connection: &'a Connection,
        before: Option<&[&[u8]]>,
        names: &[&[u8]],
        args: &[&[u8]],
    ) -> impl Future<Output = RedisResult<T>> + Send + use<'a, T> {
        let by_digest = self.by_digest(before, names, args);
        async move {
            let mut reply = connection.send(&by_digest).await;
            if self.knows_itself
                && let Err(broken) = &reply
                && is_broken(broken)
            {
                let again = Box::pin(connection.send(&by_digest)).await.and_then(last::<Value>);
                reply = second(broken.clone(), again).map(|reply| vec![reply]);
            }
            match reply.and_then(last) {
                // The source makes the server know the script again.
                Err(error) if is_no_script(&error) => {
                    let by_source = by_digest.by_source(self.source);
                    Box::pin(connection.send(&by_source)).await.and_then(last)
                }
                reply => reply,
            }
        }
    }

    fn by_digest(&self, before: Option<&[&[u8]]>, names: &[&[u8]], args: &[&[u8]]) -> Commands {
        let mut count = itoa::Buffer::new();
        let script = [b"EVALSHA", self.digest.as_bytes(), count.format(names.len()).as_bytes()];
        let before = before.unwrap_or_default();
        let parts = [before, &script, names, args];
        let mut commands = Commands::with_capacity_for(&parts);
        if !before.is_empty() {
            commands.add(&parts[..1]);
        }
        commands.add(&parts[1..]);
        commands
    }
}

/// A number as an argument of a command.
pub(super) struct Text {
    digits: [u8; 20],
    length: usize,
}

pub(super) fn text(number: usize) -> Text {
    let mut buffer = itoa::Buffer::new();
    let number = buffer.format(number).as_bytes();
    let mut text = Text { digits: [0; 20], length: number.len() };
    text.digits[..number.len()].copy_from_slice(number);
    text
}

impl Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.digits[..self.length]
    }
}
