//! Commands on one name, and how a server of a cluster rejects them.

use redis::{Arg, Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};

use super::slots::{host, slot_of};
use crate::store::redis::address::Address;
use crate::store::redis::server::Server;
use crate::store::redis::unreached::cause;

/// Commands that are sent to one server together. All their names are in one slot.
#[derive(Clone, Copy)]
pub(in crate::store::redis) enum Commands<'a> {
    One(&'a Cmd),
    /// With the number of replies that are left out, and of those that are returned.
    Many(&'a Pipeline, usize, usize),
}

impl Commands<'_> {
    /// `None` if there is no name in them.
    pub(super) fn slot(&self) -> Option<u16> {
        match self {
            Self::One(command) => slot(command),
            Self::Many(pipeline, ..) => pipeline.cmd_iter().find_map(slot),
        }
    }

    /// Sends them. If another server has sent them here, each is announced.
    pub(super) async fn send(&self, server: &Server, asking: bool) -> RedisResult<Vec<Value>> {
        match *self {
            Self::One(command) if !asking => server.one(command).await.map(|reply| vec![reply]),
            Self::Many(pipeline, offset, count) if !asking => {
                server.many(pipeline, offset, count).await
            }
            Self::One(command) => announced(server, std::iter::once(command)).await,
            Self::Many(pipeline, ..) => announced(server, pipeline.cmd_iter()).await,
        }
    }
}

/// `ASKING` applies to the next command only, so each command has its own and nothing may come
/// between.
async fn announced<'a>(
    server: &Server,
    commands: impl Iterator<Item = &'a Cmd>,
) -> RedisResult<Vec<Value>> {
    let mut pipeline = Pipeline::new();
    for command in commands {
        pipeline.cmd("ASKING").add_command(command.clone());
    }
    let mut replies = server.many(&pipeline, 0, pipeline.len()).await?.into_iter();
    let mut told = Vec::with_capacity(pipeline.len() / 2);
    while let (Some(asking), Some(reply)) = (replies.next(), replies.next()) {
        // If both are rejected, the rejected announcement is the cause. The other rejection would
        // send the command back and forth.
        let is_rejected =
            matches!((&asking, &reply), (Value::ServerError(_), Value::ServerError(_)));
        told.push(if is_rejected { asking } else { reply });
    }
    Ok(told)
}

fn slot(command: &Cmd) -> Option<u16> {
    let arg = |index| match command.args_iter().nth(index) {
        Some(Arg::Simple(arg)) => Some(arg),
        _ => None,
    };
    // The names of a script follow the script and their number.
    let name = if matches!(arg(0), Some(b"EVAL" | b"EVALSHA")) { arg(3) } else { arg(1) };
    name.map(slot_of)
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
            Ok(values) => values.iter().find_map(|value| match value {
                Value::ServerError(error) => Self::of(&error.clone().into()),
                _ => None,
            }),
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
