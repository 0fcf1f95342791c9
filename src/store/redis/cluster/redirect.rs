//! How a server of a cluster rejects commands, and where they are sent next.

use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};

use super::slots::host;
use crate::store::redis::address::Address;
use crate::store::redis::commands::{Commands, errors};
use crate::store::redis::server::Server;
use crate::store::redis::unreached::cause;

/// Sends commands that another server has sent on to this one. `ASKING` applies to the next command
/// only, so each command has its own and nothing may come between.
pub(super) async fn send_announced(
    server: &Server,
    commands: &Commands,
) -> RedisResult<Vec<Value>> {
    let mut announced = Commands::of(&[]);
    for command in commands.iter() {
        announced.add(&[&[b"ASKING"]]);
        announced.add(&[&command]);
    }
    let mut replies = server.send(&announced).await?.into_iter();
    let mut told = Vec::with_capacity(commands.count());
    while let (Some(asking), Some(reply)) = (replies.next(), replies.next()) {
        // If both are rejected, the rejected announcement is the cause. The other rejection would
        // send the command back and forth.
        let is_rejected =
            matches!((&asking, &reply), (Value::ServerError(_), Value::ServerError(_)));
        told.push(if is_rejected { asking } else { reply });
    }
    Ok(told)
}

/// Why a server has not carried out commands, or not all of them.
pub(super) enum NotServed {
    /// The slot is at another server.
    Moved(Redirect),
    /// The slot is being moved, and the record is not here, so it is there if anywhere.
    Ask(Redirect),
    /// The slot is being moved, and one of the names is here and the other there.
    TryAgain,
    /// No server has the slot, or the server has no majority of the others, or not yet its data.
    Down,
}

/// What to do about such a reply.
pub(super) struct Next {
    pub(super) step: Step,
    /// The map named this server, and is wrong or out of date.
    pub(super) is_map_in_doubt: bool,
}

pub(super) enum Step {
    GoTo { server: Address, announced: bool },
    LookUpAgain,
    GiveUp,
}

impl NotServed {
    pub(super) fn find(replies: &RedisResult<Vec<Value>>) -> Option<Self> {
        match replies {
            Ok(replies) => errors(replies).find_map(|error| Self::of(&error.clone().into())),
            Err(error) => Self::of(error),
        }
    }

    fn of(error: &RedisError) -> Option<Self> {
        let ErrorKind::Server(kind) = cause(error).kind() else {
            return None;
        };
        match kind {
            ServerErrorKind::Moved => Redirect::of(error).map(Self::Moved),
            ServerErrorKind::Ask => Redirect::of(error).map(Self::Ask),
            ServerErrorKind::TryAgain => Some(Self::TryAgain),
            ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::BusyLoading => Some(Self::Down),
            _ => None,
        }
    }

    /// What follows from the rejection of `server`.
    pub(super) fn next(self, server: &Address) -> Next {
        let go_to = |redirect: Redirect, announced| {
            redirect
                .seen_from(server)
                .map_or(Step::LookUpAgain, |server| Step::GoTo { server, announced })
        };
        match self {
            Self::Moved(there) => Next { step: go_to(there, false), is_map_in_doubt: true },
            Self::Ask(there) => {
                let step = go_to(there, true);
                let is_map_in_doubt = matches!(step, Step::LookUpAgain);
                Next { step, is_map_in_doubt }
            }
            Self::TryAgain => Next { step: Step::LookUpAgain, is_map_in_doubt: false },
            Self::Down => Next { step: Step::GiveUp, is_map_in_doubt: true },
        }
    }
}

/// Where a server sends its client on to. Without a host, it is the server's own.
pub(super) struct Redirect {
    host: String,
    port: u16,
}

impl Redirect {
    fn of(error: &RedisError) -> Option<Self> {
        let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
        Some(Self { host: host.to_owned(), port: port.parse().ok()? })
    }

    /// `None` if `server`, which said it, does not know a host of the kind that it is set to tell.
    fn seen_from(self, server: &Address) -> Option<Address> {
        let host = host(&self.host, &server.host)?.to_owned();
        Some(Address { host, port: self.port })
    }
}
