//! What the driver's errors mean for the store.

use std::io;

use redis::{RedisError, RedisResult, ServerError, ServerErrorKind};

use super::super::{ErrorKind, StoreError};

/// The server understood the command and would not have it.
pub(super) fn is_refused(error: &RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(ServerErrorKind::ResponseError)
}

pub(super) fn store_error(error: RedisError) -> StoreError {
    // A connection that was refused carried nothing; of one that broke nobody knows what it had carried.
    let unanswered = error.is_timeout() || is_broken(&error);
    let kind = if unanswered { ErrorKind::Timeout } else { ErrorKind::Unavailable };
    StoreError::with_source(kind, error)
}

/// What became of a settling write. In a pipeline, the body, the script or both may have been
/// rejected.
pub(super) fn write_error(error: RedisError) -> StoreError {
    let is_rejected = error
        .clone()
        .into_server_errors()
        .is_some_and(|errors| errors.iter().any(|(_, error)| is_final(error)));
    if is_rejected { StoreError::with_source(ErrorKind::Rejected, error) } else { store_error(error) }
}

/// Whether the server would reject the same command again.
fn is_final(error: &ServerError) -> bool {
    match error.code() {
        "NOPERM" | "WRONGTYPE" => true,
        "ERR" => {
            let details = error.details().unwrap_or_default();
            // Before 7.0, an error inside a script has this code too, a momentary one such as OOM
            // included.
            !details.starts_with("Error running script") && !details.starts_with("max number of clients")
        }
        _ => false,
    }
}

/// What became of a reservation: of its two commands the server may have carried out the first and refused the second, a
/// user's permission to ask for a time being one reason.
pub(super) fn reserve_error(error: RedisError) -> StoreError {
    let stands =
        error.clone().into_server_errors().is_some_and(|errors| errors.iter().all(|(at, _)| *at > 0));
    if stands { StoreError::with_source(ErrorKind::Timeout, error) } else { store_error(error) }
}

/// The connection broke before the answer came. One that was refused never was one.
pub(super) fn is_broken(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_connection_refusal()
}

/// What went wrong before there was a connection. Nothing was sent, so nothing was carried out.
pub(super) fn unreached(error: RedisError) -> RedisError {
    if error.is_timeout() || is_broken(&error) {
        return io::Error::new(io::ErrorKind::HostUnreachable, error).into();
    }
    error
}

/// What a command came to that was sent a second time because its connection broke.
pub(super) fn second<T>(first: RedisError, second: RedisResult<T>) -> RedisResult<T> {
    // That the second one was not sent, or not taken, does not tell what became of the first.
    second.map_err(|second| if is_refused(&second) || is_no_script(&second) { second } else { first })
}

/// The server was restarted or its scripts were flushed.
pub(super) fn is_no_script(error: &RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(ServerErrorKind::NoScript)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use redis::{Value, parse_redis_value};

    use super::*;

    fn kind_of(reply: &str) -> ErrorKind {
        let reply = parse_redis_value(format!("-{reply}\r\n").as_bytes()).unwrap();
        let Value::ServerError(error) = reply else { panic!("{reply:?}") };
        write_error(error.into()).kind()
    }

    #[test]
    fn a_write_that_would_be_rejected_again_is_rejected_for_good() {
        for reply in [
            "NOPERM No permissions to access a key",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "WRONGTYPE Operation against a key holding the wrong kind of value script: 1f, on @user_script:6.",
            "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            "ERR Protocol error: invalid bulk length",
            "ERR unknown command 'EVALSHA', with args beginning with:",
            "ERR ACL failure in script: The user executing the script can't run this command or subcommand",
        ] {
            assert_eq!(kind_of(reply), ErrorKind::Rejected, "{reply}");
        }
    }

    #[test]
    fn a_write_that_may_go_through_later_is_not() {
        for reply in [
            "LOADING Redis is loading the dataset in memory",
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "CLUSTERDOWN The cluster is down",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "READONLY You can't write against a read only replica.",
            "MOVED 3999 127.0.0.1:6381",
            "ASK 3999 127.0.0.1:6381",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "NOREPLICAS Not enough good replicas to write.",
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "EXECABORT Transaction discarded because of previous errors.",
            "NOSCRIPT No matching script.",
            "UNKILLABLE Sorry the script already executed write commands against the dataset.",
            "ERR max number of clients reached",
            "ERR Error running script (call to f_1f): @user_script:6: -READONLY You can't write against a read only replica.",
            "ERR Error running script (call to f_1f): @user_script:6: -OOM command not allowed when used memory > 'maxmemory'.",
            "upstream failure",
        ] {
            assert_eq!(kind_of(reply), ErrorKind::Unavailable, "{reply}");
        }
    }
}
