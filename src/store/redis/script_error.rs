//! The error that ended a script, read in the same way whatever version the server has.
//!
//! From 7.0 the reply is the error itself, with its code. Before, it is wrapped in another one:
//!
//! ```text
//! READONLY You can't write against a read only replica. script: 1f…, on @user_script:2.
//! ERR Error running script (call to f_1f…): @user_script:2: @user_script: 2: -READONLY You can't write against a read only replica.
//! ```

use redis::{ServerError, Value, parse_redis_value};

/// Replaces a wrapped error by the one inside.
pub(super) fn unwrapped(reply: Value) -> Value {
    match reply {
        Value::ServerError(error) => Value::ServerError(inner(&error).unwrap_or(error)),
        reply => reply,
    }
}

/// The error inside a wrapped one; `None` if it is not wrapped.
pub(super) fn inner(error: &ServerError) -> Option<ServerError> {
    let (_, text) =
        error.details()?.strip_prefix("Error running script (call to ")?.split_once("): ")?;
    let text = without_place(text);
    let (call, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let word = text.split(' ').next()?;
    let has_code = call || (word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase()));
    let code = if has_code { "" } else { "ERR " };
    match parse_redis_value(format!("-{code}{text}\r\n").as_bytes()) {
        Ok(Value::ServerError(error)) => Some(error),
        _ => None,
    }
}

/// The text behind the line of the script, which is there once or twice.
fn without_place(mut text: &str) -> &str {
    while let Some(place) = text.strip_prefix("@user_script:") {
        let behind = place.trim_start().trim_start_matches(|digit: char| digit.is_ascii_digit());
        match behind.strip_prefix(": ") {
            Some(behind) => text = behind,
            None => return text,
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(reply: &str) -> String {
        let reply = parse_redis_value(format!("-{reply}\r\n").as_bytes()).unwrap();
        let Value::ServerError(error) = unwrapped(reply) else { panic!("no error") };
        format!("{} {}", error.code(), error.details().unwrap_or_default())
    }

    /// As 6.2.14 says it.
    #[test]
    fn the_error_that_ended_a_script_is_read_from_the_reply_of_an_old_server() {
        let call = "ERR Error running script (call to f_008a14): @user_script:2:";
        for (reply, error) in [
            ("@user_script: 2: -READONLY You can't write.", "READONLY You can't write."),
            ("@user_script: 2: -OOM command not allowed.", "OOM command not allowed."),
            ("-MASTERDOWN Link with MASTER is down.", "MASTERDOWN Link with MASTER is down."),
            ("WRONGTYPE Operation against a key", "WRONGTYPE Operation against a key"),
            ("ERR value is not an integer", "ERR value is not an integer"),
            ("@user_script: 2: The user can't run this", "ERR The user can't run this"),
            ("user_script:2: a fault of its own", "ERR user_script:2: a fault of its own"),
        ] {
            assert_eq!(read(&format!("{call} {reply}")), error);
        }
    }

    #[test]
    fn any_other_error_stays_as_it_is() {
        for reply in [
            "READONLY You can't write against a read only replica. script: 008a14, on @user_script:2.",
            "ERR syntax error",
            "ERR Error running script",
            "NOSCRIPT No matching script. Please use EVAL.",
        ] {
            assert_eq!(read(reply), reply);
        }
    }
}
