//! Scripts, sent by their digest; by their source to a server that does not know them yet.

use std::sync::LazyLock;

use redis::aio::ConnectionLike;
use redis::{Cmd, FromRedisValue, Pipeline, RedisResult};

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

/// Writes commands whose replies are ignored. They may contain a large body, so they are not
/// copied.
pub(super) type Before<'a> = &'a (dyn Fn(&mut Pipeline) + Sync);

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

    /// Runs the script behind the commands that `before` writes, in one round trip.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        connection: &mut impl ConnectionLike,
        before: Option<Before<'_>>,
        keys: &[&[u8]],
        args: &[&[u8]],
    ) -> RedisResult<T> {
        let by_digest = || call("EVALSHA", &self.digest, keys, args);
        let mut reply = send(connection, before, by_digest()).await;
        if self.knows_itself
            && let Err(broken) = &reply
            && is_broken(broken)
        {
            reply = second(broken.clone(), send(connection, before, by_digest()).await);
        }
        match reply {
            // The source makes the server know the script again.
            Err(error) if is_no_script(&error) => {
                send(connection, before, call("EVAL", self.source, keys, args)).await
            }
            reply => reply,
        }
    }
}

async fn send<T: FromRedisValue>(
    connection: &mut impl ConnectionLike,
    before: Option<Before<'_>>,
    script: Cmd,
) -> RedisResult<T> {
    let Some(before) = before else {
        return script.query_async(connection).await;
    };
    let mut pipeline = Pipeline::with_capacity(2);
    before(&mut pipeline);
    pipeline.add_command(script);
    let (reply,) = pipeline.query_async(connection).await?;
    Ok(reply)
}

fn call(command: &str, script: &str, keys: &[&[u8]], args: &[&[u8]]) -> Cmd {
    let mut call = redis::cmd(command);
    call.arg(script).arg(keys.len()).arg(keys).arg(args);
    call
}

/// A number as an argument of a command.
pub(super) fn text(number: usize) -> Vec<u8> {
    number.to_string().into_bytes()
}
