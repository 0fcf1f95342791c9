//! What the driver's errors mean for the store.

use std::{error, fmt, io};

use redis::{ErrorKind as DriverError, RedisError, RedisResult, ServerError, ServerErrorKind};

use super::place::Trust;
use super::tls;
use super::unreached::{Finding, Unreached, cause};
use crate::store::{StoreError, StoreErrorKind};

mod advice;

use advice::advice;

/// What the server said, if it has rejected a command.
fn rejection(error: &RedisError) -> Option<ServerError> {
    let errors = cause(error).clone().into_server_errors()?;
    errors.first().map(|(_, error)| error.clone())
}

/// The server has understood the command and rejects it.
pub(super) fn is_rejected(error: &RedisError) -> bool {
    rejection(error).is_some_and(|error| error.kind() == Some(ServerErrorKind::ResponseError))
}

/// The server does not know the command.
pub(super) fn is_unknown(error: &RedisError) -> bool {
    rejection(error).is_some_and(|error| {
        error.details().unwrap_or_default().to_lowercase().starts_with("unknown command")
    })
}

/// The server serves what it has, and takes no writes for now: it is at `maxmemory`, has too few
/// replicas (`min-replicas-to-write`), or cannot write to its disk.
///
/// A replica and a server that is loading its data are others: what they have may be out of date or
/// incomplete.
pub(super) fn takes_no_writes(error: &RedisError) -> bool {
    rejection(error).is_some_and(|error| matches!(error.code(), "OOM" | "NOREPLICAS" | "MISCONF"))
}

/// An error means the same in every operation.
pub(super) fn store_error(error: RedisError) -> StoreError {
    let (kind, advice, cause) = match Unreached::of(&error) {
        Some(unreached) => {
            let cause = unreached.cause.clone();
            (kind_of_unreached(unreached), advice(Some(unreached), &cause), cause)
        }
        None => (kind(&error), advice(None, &error), error),
    };
    StoreError::with_source(kind, Unquoted(cause)).advised(advice)
}

/// A certain finding is not an outage.
fn kind_of_unreached(unreached_at: &Unreached) -> StoreErrorKind {
    match unreached_at.finding {
        Some(Finding::Speaks(_) | Finding::NoSentinel) => StoreErrorKind::Configuration,
        _ => kind(&unreached(unreached_at.cause.clone())),
    }
}

/// The server rejects what was sent, and would reject it again.
pub(super) fn rejected(error: RedisError) -> StoreError {
    StoreError::with_source(StoreErrorKind::Rejected, Unquoted(error))
}

fn kind(error: &RedisError) -> StoreErrorKind {
    // A refused connection carried nothing. A broken one may have carried the command.
    if error.is_timeout() || is_broken(error) {
        return StoreErrorKind::Timeout;
    }
    match error.kind() {
        DriverError::AuthenticationFailed
        | DriverError::InvalidClientConfig
        | DriverError::RESP3NotSupported => StoreErrorKind::Configuration,
        _ if tls::untrusted(error, Trust::Default).is_some() => StoreErrorKind::Configuration,
        // The reply is not what these commands return.
        DriverError::UnexpectedReturnType => StoreErrorKind::Corrupt,
        // The driver gives the reply to `SELECT` in words of its own.
        DriverError::Server(ServerErrorKind::ResponseError) if rejection(error).is_none() => {
            StoreErrorKind::Configuration
        }
        _ => rejection(error).map_or(StoreErrorKind::Unavailable, |error| kind_of_reply(&error)),
    }
}

/// What an error of the server means. The codes that are not here tell of a server that cannot
/// serve for now. Clients of the layer cannot bring these about, so they may open it.
fn kind_of_reply(error: &ServerError) -> StoreErrorKind {
    match error.code() {
        // Both its memory and its disk can be filled by clients.
        "OOM" | "MISCONF" => StoreErrorKind::Full,
        "WRONGTYPE" => StoreErrorKind::Corrupt,
        "NOPERM" | "NOAUTH" | "WRONGPASS" => StoreErrorKind::Configuration,
        "ERR" => match error.details().unwrap_or_default() {
            text if text.starts_with("max number of clients") => StoreErrorKind::Unavailable,
            text if text.starts_with("Script killed by user") => StoreErrorKind::Unavailable,
            text if FORBIDDEN.iter().any(|words| text.contains(words)) => {
                StoreErrorKind::Configuration
            }
            _ => StoreErrorKind::Rejected,
        },
        _ => StoreErrorKind::Unavailable,
    }
}

/// The errors of different versions for an unknown command, or one that the user may not use in a
/// script. Such an error has no code of its own.
const FORBIDDEN: [&str; 6] = [
    "nknown command",
    "nknown subcommand",
    "nknown Redis command",
    "ACL failure in script",
    "user executing the script",
    "cluster support disabled",
];

/// The server cannot serve for now.
pub(super) fn is_outage(error: &ServerError) -> bool {
    kind_of_reply(error).is_outage()
}

/// An error without what it can quote of a command or a record.
struct Unquoted(RedisError);

impl fmt::Display for Unquoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It quotes the reply.
        if matches!(self.0.kind(), DriverError::UnexpectedReturnType | DriverError::Parse) {
            return f.write_str(self.0.category());
        }
        let text = self.0.to_string();
        // An unknown command is quoted with its arguments: a `SET` has the response among them.
        f.write_str(text.split(", with args beginning with").next().unwrap_or_default())
    }
}

impl fmt::Debug for Unquoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl error::Error for Unquoted {}

/// The connection broke before the reply came. A refused connection was never established.
pub(super) fn is_broken(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_connection_refusal()
}

/// An error before there was a connection. Nothing was sent, so nothing was carried out.
pub(super) fn unreached(error: RedisError) -> RedisError {
    if error.is_timeout() || is_broken(&error) {
        return io::Error::new(io::ErrorKind::HostUnreachable, error).into();
    }
    error
}

/// The result of a command that was sent a second time because its connection broke.
pub(super) fn second<T>(first: RedisError, second: RedisResult<T>) -> RedisResult<T> {
    // The first command may have been carried out, even if the second one was not sent or was
    // rejected.
    second.map_err(
        |second| if is_rejected(&second) || is_no_script(&second) { second } else { first },
    )
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
    use crate::store::redis::script_error::unwrapped;

    fn error(reply: &str) -> RedisError {
        let value = parse_redis_value(format!("-{reply}\r\n").as_bytes()).unwrap();
        let Value::ServerError(error) = unwrapped(value) else { panic!("no error: {reply}") };
        error.into()
    }

    #[track_caller]
    fn all_are(kind: StoreErrorKind, replies: &[&str]) {
        for reply in replies {
            assert_eq!(store_error(error(reply)).kind(), kind, "{reply}");
        }
    }

    #[test]
    fn a_command_that_would_be_rejected_again_is_rejected_for_good() {
        all_are(
            StoreErrorKind::Rejected,
            &[
                "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
                "ERR Protocol error: invalid bulk length",
                "ERR syntax error",
            ],
        );
    }

    #[test]
    fn a_value_of_another_type_is_a_damaged_record() {
        let call = "ERR Error running script (call to f_1f): @user_script:2:";
        all_are(
            StoreErrorKind::Corrupt,
            &[
                "WRONGTYPE Operation against a key holding the wrong kind of value",
                "WRONGTYPE Operation against a key holding the wrong kind of value script: 1f, on @user_script:6.",
                &format!(
                    "{call} WRONGTYPE Operation against a key holding the wrong kind of value"
                ),
            ],
        );
    }

    #[test]
    fn what_an_operator_must_mend_is_configuration() {
        let call = "ERR Error running script (call to f_1f): @user_script:2: @user_script: 2:";
        all_are(
            StoreErrorKind::Configuration,
            &[
                "NOPERM No permissions to access a key",
                "NOAUTH Authentication required.",
                "WRONGPASS invalid username-password pair or user is disabled.",
                "ERR unknown command 'EVALSHA', with args beginning with:",
                "ERR Unknown Redis command called from script script: 1f, on @user_script:1.",
                "ERR Unknown command called from script script: on @user_script:1.",
                "ERR ACL failure in script: User u has no permissions to run the 'set' command script: on @user_script:1.",
                "ERR ACL failure in script: No permissions to access a key script: on @user_script:1.",
                "ERR The user executing the script can't run this command or subcommand script: 1f, on @user_script:1.",
                "ERR This instance has cluster support disabled",
                &format!(
                    "{call} The user executing the script can't run this command or subcommand"
                ),
                &format!("{call} Unknown Redis command called from Lua script"),
            ],
        );
        let failed = [
            (DriverError::AuthenticationFailed, "Password authentication failed"),
            (DriverError::InvalidClientConfig, "no such scheme"),
            (ServerErrorKind::ResponseError.into(), "Redis server refused to switch database"),
        ];
        for failed in failed {
            assert_eq!(
                store_error(failed.into()).kind(),
                StoreErrorKind::Configuration,
                "{failed:?}"
            );
        }
    }

    #[test]
    fn a_server_that_cannot_serve_for_now_is_unavailable() {
        all_are(
            StoreErrorKind::Unavailable,
            &[
                "LOADING Redis is loading the dataset in memory",
                "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
                "TRYAGAIN Multiple keys request during rehashing of slot",
                "CLUSTERDOWN The cluster is down",
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
                "READONLY You can't write against a read only replica.",
                "MOVED 3999 127.0.0.1:6381",
                "ASK 3999 127.0.0.1:6381",
                "NOREPLICAS Not enough good replicas to write.",
                "EXECABORT Transaction discarded because of previous errors.",
                "NOSCRIPT No matching script.",
                "UNKILLABLE Sorry the script already executed write commands against the dataset.",
                "ERR max number of clients reached",
                "ERR Script killed by user with SCRIPT KILL. script: 1f, on @user_script:6.",
                "ERR Error running script (call to f_1f): @user_script:6: @user_script: 6: -READONLY You can't write against a read only replica.",
                "ERR Error running script (call to f_1f): @user_script:6: Script killed by user with SCRIPT KILL...",
                "upstream failure",
            ],
        );
    }

    #[test]
    fn a_server_without_memory_or_disk_is_full() {
        all_are(
            StoreErrorKind::Full,
            &[
                "OOM command not allowed when used memory > 'maxmemory'.",
                "OOM command not allowed when used memory > 'maxmemory'. script: 1f, on @user_script:6.",
                "ERR Error running script (call to f_1f): @user_script:6: @user_script: 6: -OOM command not allowed.",
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
            ],
        );
    }

    #[test]
    fn what_is_logged_quotes_neither_a_command_nor_a_record() {
        let refused = store_error(error(
            "ERR unknown command `SET`, with args beginning with: `name`, `card 4111`",
        ));
        let mistyped = store_error(
            (DriverError::UnexpectedReturnType, "not an int", "card 4111".to_owned()).into(),
        );
        for error in [refused, mistyped] {
            let source = error::Error::source(&error).unwrap();
            assert!(!source.to_string().is_empty());
            assert!(
                !format!("{error} {error:?} {source} {source:?}").contains("4111"),
                "{error:?}"
            );
        }
    }
}
