//! What the driver's errors mean for the store.

use std::io;

use redis::{RedisError, RedisResult, ServerError, ServerErrorKind};

use super::super::{ErrorKind, StoreError};
use super::script_error;

/// What the server said: for each command of a pipeline that it rejected, its place and the error. A
/// connection of the caller's own gives the errors of scripts as the server words them.
fn rejections(error: &RedisError) -> Vec<(usize, ServerError)> {
    let errors = error.clone().into_server_errors();
    let errors = errors.iter().flat_map(|errors| errors.iter());
    errors.map(|(at, error)| (*at, script_error::inner(error).unwrap_or_else(|| error.clone()))).collect()
}

/// The server understood the command and would not have it.
pub(super) fn is_refused(error: &RedisError) -> bool {
    rejections(error).first().is_some_and(|(_, error)| error.kind() == Some(ServerErrorKind::ResponseError))
}

/// The server serves what it has, and takes no writes for now: it is at `maxmemory`, has too few
/// replicas (`min-replicas-to-write`), or cannot write to its disk.
///
/// A replica and a server that is loading its data are others: what they have may be out of date or
/// incomplete.
pub(super) fn takes_no_writes(error: &RedisError) -> bool {
    let errors = rejections(error);
    errors.first().is_some_and(|(_, error)| matches!(error.code(), "OOM" | "NOREPLICAS" | "MISCONF"))
}

pub(super) fn store_error(error: RedisError) -> StoreError {
    // A connection that was refused carried nothing; of one that broke nobody knows what it had carried.
    let kind = if error.is_timeout() || is_broken(&error) {
        ErrorKind::Timeout
    } else if rejections(&error).iter().any(|(_, error)| error.code() == "OOM") {
        ErrorKind::Full
    } else {
        ErrorKind::Unavailable
    };
    StoreError::with_source(kind, error)
}

/// What became of a settling write. In a pipeline, the body, the script or both may have been
/// rejected.
pub(super) fn write_error(error: RedisError) -> StoreError {
    let is_rejected = rejections(&error).iter().any(|(_, error)| is_final(error));
    if is_rejected { StoreError::with_source(ErrorKind::Rejected, error) } else { store_error(error) }
}

/// Whether the server would reject the same command again.
fn is_final(error: &ServerError) -> bool {
    match error.code() {
        "NOPERM" | "WRONGTYPE" => true,
        "ERR" => {
            let details = error.details().unwrap_or_default();
            !details.starts_with("max number of clients") && !details.starts_with("Script killed by user")
        }
        _ => false,
    }
}

/// What became of a reservation: of its two commands the server may have carried out the first and refused the second, a
/// user's permission to ask for a time being one reason.
pub(super) fn reserve_error(error: RedisError) -> StoreError {
    let errors = rejections(&error);
    let stands = !errors.is_empty() && errors.iter().all(|(at, _)| *at > 0);
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
            "ERR Error running script (call to f_1f): @user_script:2: @user_script: 2: The user executing the script can't run this command or subcommand",
            "ERR Error running script (call to f_1f): @user_script:2: WRONGTYPE Operation against a key holding the wrong kind of value",
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
            "NOREPLICAS Not enough good replicas to write.",
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "EXECABORT Transaction discarded because of previous errors.",
            "NOSCRIPT No matching script.",
            "UNKILLABLE Sorry the script already executed write commands against the dataset.",
            "ERR max number of clients reached",
            "ERR Script killed by user with SCRIPT KILL. script: 1f, on @user_script:6.",
            "ERR Error running script (call to f_1f): @user_script:6: @user_script: 6: -READONLY You can't write against a read only replica.",
            "ERR Error running script (call to f_1f): @user_script:6: Script killed by user with SCRIPT KILL...",
            "upstream failure",
        ] {
            assert_eq!(kind_of(reply), ErrorKind::Unavailable, "{reply}");
        }
    }

    #[test]
    fn a_server_without_memory_is_full() {
        for reply in [
            "OOM command not allowed when used memory > 'maxmemory'.",
            "OOM command not allowed when used memory > 'maxmemory'. script: 1f, on @user_script:6.",
            "ERR Error running script (call to f_1f): @user_script:6: @user_script: 6: -OOM command not allowed.",
        ] {
            assert_eq!(kind_of(reply), ErrorKind::Full, "{reply}");
        }
    }
}
