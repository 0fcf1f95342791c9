//! Commands over a connection of the driver: one that a caller has given, or one with TLS.

use redis::aio::ConnectionLike;
use redis::{RedisFuture, RedisResult, Value};

use super::commands::Commands;
use super::script_error::unwrapped;

/// A connection of the caller's own.
pub(super) trait Foreign: Send + Sync {
    fn send<'a>(&'a self, commands: &'a Commands) -> RedisFuture<'a, Vec<Value>>;
}

impl<C: ConnectionLike + Clone + Send + Sync> Foreign for C {
    fn send<'a>(&'a self, commands: &'a Commands) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move { send(&mut self.clone(), commands).await })
    }
}

/// Returns one reply for each command. Errors of the server are values.
pub(super) async fn send(
    connection: &mut impl ConnectionLike,
    commands: &Commands,
) -> RedisResult<Vec<Value>> {
    let pipeline = commands.pipeline();
    let mut all = pipeline.cmd_iter();
    let replies = match (all.next(), all.next()) {
        (Some(command), None) => vec![connection.req_packed_command(command).await?],
        _ => connection.req_packed_commands(&pipeline, 0, pipeline.len()).await?,
    };
    Ok(replies.into_iter().map(unwrapped).collect())
}
