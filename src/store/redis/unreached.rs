//! A server that was not reached: which one it is, and what was found there.

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use redis::{ConnectionAddr, ErrorKind, RedisError, RedisResult};
use tokio::net::lookup_host;
use tokio::time::sleep;

use super::place::Place;
use super::probe::Probes;
use super::tls;
use crate::store::listener::Protocol;

/// How long an attempt may take before it is asked beside it what listens there. A server that
/// waits for another protocol is silent.
const QUIET: Duration = Duration::from_millis(300);

/// Why no connection was made, inside of an error of the driver, which has no place for it.
pub(super) struct Unreached {
    pub(super) place: Place,
    pub(super) finding: Option<Finding>,
    pub(super) cause: RedisError,
}

/// A cause behind the error that is known for certain.
#[derive(Debug, Clone)]
pub(super) enum Finding {
    /// The host has no address.
    Unresolved(String),
    /// Something else listens at the address.
    Speaks(Protocol),
    /// It does not know the commands of a sentinel.
    NoSentinel,
    /// The sentinels know no group of this name.
    NoGroup(String),
}

impl Unreached {
    /// Adds the place to an error, unless it has one.
    pub(super) fn at(place: Place, cause: RedisError) -> RedisError {
        if Self::of(&cause).is_some() { cause } else { Self::found(place, None, cause) }
    }

    pub(super) fn found(place: Place, finding: Option<Finding>, cause: RedisError) -> RedisError {
        // Nothing was sent, so the kind is none of a connection that broke.
        let kind = if cause.is_connection_refusal() {
            io::ErrorKind::ConnectionRefused
        } else {
            io::ErrorKind::HostUnreachable
        };
        io::Error::new(kind, Self { place, finding, cause }).into()
    }

    pub(super) fn of(error: &RedisError) -> Option<&Self> {
        // The driver's source is the pointer to the error, not the error.
        let source = error.source()?.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
        source.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
    }
}

/// The error itself, without the place.
pub(super) fn cause(error: &RedisError) -> &RedisError {
    Unreached::of(error).map_or(error, |unreached| &unreached.cause)
}

/// Makes a connection. If that fails, or takes long, looks at what listens at the address.
pub(super) async fn explained<T>(
    place: Place,
    address: &ConnectionAddr,
    probes: &Probes,
    connecting: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    let mut connecting = pin!(connecting);
    let other = async {
        sleep(QUIET).await;
        match probes.look(address).await {
            Some(protocol) => protocol,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        connected = &mut connecting => match connected {
            Ok(connected) => {
                probes.connected();
                Ok(connected)
            }
            Err(cause) => {
                let finding = explain(&cause, &place, address, probes).await;
                Err(Unreached::found(place, finding, cause))
            }
        },
        protocol = other => {
            let cause = io::Error::new(io::ErrorKind::TimedOut, "it does not reply to the handshake");
            Err(Unreached::found(place, Some(Finding::Speaks(protocol)), cause.into()))
        }
    }
}

async fn explain(
    cause: &RedisError,
    place: &Place,
    address: &ConnectionAddr,
    probes: &Probes,
) -> Option<Finding> {
    let is_other = cause.is_io_error() || cause.kind() == ErrorKind::Parse;
    if !is_other || cause.is_connection_refusal() || tls::untrusted(cause, place.trust()).is_some()
    {
        return None;
    }
    if let ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } = address
        && lookup_host((host.as_str(), *port)).await.is_err()
    {
        return Some(Finding::Unresolved(host.clone()));
    }
    probes.look(address).await.map(Finding::Speaks)
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl fmt::Debug for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Unreached {}
