//! What the driver's errors mean for the store.

use redis::{RedisError, ServerErrorKind};

use super::super::{ErrorKind, StoreError};

/// The server understood the command and would not have it.
pub(super) fn is_refused(error: &RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(ServerErrorKind::ResponseError)
}

pub(super) fn store_error(error: RedisError) -> StoreError {
    let kind = if error.is_timeout() { ErrorKind::Timeout } else { ErrorKind::Unavailable };
    StoreError::with_source(kind, error)
}
