//! What to do about an error that only an operator can mend.

use redis::{ErrorKind as DriverError, RedisError, ServerErrorKind};

use super::rejection;
use crate::store::listener::Protocol;
use crate::store::redis::place::{Place, Trust};
use crate::store::redis::tls;
use crate::store::redis::unreached::{Finding, Unreached};

/// `error` is the cause, and `unreached` says where a connection was tried, if that is known.
pub(super) fn advice(unreached: Option<&Unreached>, error: &RedisError) -> Option<String> {
    if let Some(Unreached { place, finding: Some(finding), .. }) = unreached {
        return Some(of_finding(place, finding));
    }
    let place = unreached.map(|unreached| &unreached.place);
    let server = place.map_or_else(|| "the server".to_owned(), Place::to_string);
    let rejection = rejection(error);
    let text = rejection.as_ref().and_then(|error| error.details()).unwrap_or_default();
    Some(match rejection.as_ref().map_or("", |error| error.code()) {
        "NOPERM" => format!("the user may not use a command or a name: {GRANTS}"),
        "ERR" if text.contains("cluster support disabled") => {
            format!("{server} is not in a cluster: use `redis://`")
        }
        "ERR" if super::FORBIDDEN.iter().any(|words| text.contains(words)) => {
            format!("{server} does not know a command, or the user may not use it: {GRANTS}")
        }
        "MOVED" => format!("{server} is one of a cluster: use `redis+cluster://`"),
        "NOAUTH" => {
            format!("{server} requires a password: put the user and the password into the URL")
        }
        "WRONGPASS" => format!("{server} rejects the user or the password of the URL"),
        _ if error.kind() == DriverError::AuthenticationFailed => {
            format!("{server} rejects the user or the password of the URL")
        }
        _ if error.kind() == DriverError::RESP3NotSupported => {
            format!("{server} does not know RESP3: add `?protocol=resp2` to the URL")
        }
        // The driver gives the reply to `SELECT` in words of its own.
        "" if error.kind() == DriverError::Server(ServerErrorKind::ResponseError) => {
            format!(
                "{server} does not have the database of the URL, the number behind the last `/`"
            )
        }
        "" => return of_connection(place, &server, error),
        _ => return None,
    })
}

/// The commands and names of the docs of `RedisStore::open`.
const GRANTS: &str = "it needs `~idempotency:*`, or the prefix of the store in place of \
                      `idempotency:`, and `+ping +get +getrange +set +pttl +pexpire +del +unlink \
                      +eval +evalsha`; `+select` for a database other than 0; \
                      `+cluster|slots +asking` on a cluster; `+scan +dbsize +info +lrange +rpush \
                      +ltrim +strlen +time` for operators";

fn of_connection(place: Option<&Place>, server: &str, error: &RedisError) -> Option<String> {
    let trust = place.map_or(Trust::Default, Place::trust);
    if let Some(why) = tls::untrusted(error, trust) {
        return Some(format!("the certificate of {server} {why}"));
    }
    let noun = place.map_or("server", Place::noun);
    let at = place.map_or("the address of the URL", Place::addresses);
    if error.kind() == DriverError::Parse {
        Some(format!("what listens at {at} does not speak the protocol of Redis: {CHECK}"))
    } else if error.is_connection_refusal() {
        Some(format!("no {noun} listens at {at}: {CHECK}, and that it runs"))
    } else if error.is_io_error() && place.is_some() {
        Some(format!("{server} cannot be reached: {CHECK}, and the network between"))
    } else {
        None
    }
}

const CHECK: &str = "check the host and the port";

fn of_finding(place: &Place, finding: &Finding) -> String {
    let (noun, at) = (place.noun(), place.addresses());
    match finding {
        Finding::Unresolved(host) => {
            format!("the host `{host}` of the {noun} has no address: check its name, and the DNS")
        }
        Finding::Speaks(Protocol::Redis) => {
            format!(
                "{place} does not speak TLS: begin the URL with `redis`, and not with `rediss`, or \
                 use the port for TLS"
            )
        }
        Finding::Speaks(Protocol::Tls) => {
            format!(
                "what listens at {at} speaks TLS: begin the URL with `rediss`, and not with \
                 `redis`{NEEDS}"
            )
        }
        Finding::Speaks(Protocol::Http) => not_redis(noun, at, "HTTP"),
        Finding::Speaks(Protocol::Postgres) => not_redis(noun, at, "the protocol of PostgreSQL"),
        Finding::NoSentinel => {
            format!(
                "the server at {at} is not a sentinel: `redis+sentinel://` names the sentinels, \
                 whose default port is 26379"
            )
        }
        Finding::NoGroup(group) => {
            format!(
                "the sentinels at {at} know no group `{group}`: `SENTINEL MASTERS` lists those \
                 that they know"
            )
        }
    }
}

fn not_redis(noun: &str, at: &str, protocol: &str) -> String {
    format!("what listens at {at} speaks {protocol}, and is not a {noun} of Redis: {CHECK}")
}

/// What else the scheme `rediss` needs.
const NEEDS: &str = if cfg!(feature = "redis-tls-rustls") {
    ""
} else {
    ", which needs the feature `redis-tls-rustls` of tower-idempotency"
};
