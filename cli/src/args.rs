//! The commands and their options.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use http::{HeaderName, HeaderValue};

mod globals;
mod key;
mod values;

pub(crate) use globals::Globals;
pub(crate) use key::{KeyArgs, ListArgs, Target};
use values::{duration, header, status};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  an error: the store failed, a file cannot be read, or you did not confirm
  2  the command line is wrong, or the digits of a key match several records
  3  nothing was found
  4  nothing was changed: the record has moved on, its attempt runs, or it has a response
  5  `doctor` found problems";

const LONG_ABOUT: &str = "\
Finds operations that are stuck or in doubt in a store of tower-idempotency, and settles them by \
hand.

Each change is one atomic step. It applies only if the record is still the one that you saw, and \
leaves an audit entry with your name and your reason.";

/// Finds operations that are stuck or in doubt, and settles them by hand.
#[derive(Parser)]
#[command(
    name = "idempotency",
    version,
    about,
    long_about = LONG_ABOUT,
    after_help = EXIT_CODES,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Reads the command line. If it is wrong, the process ends with 2.
    pub(crate) fn read() -> Self {
        Self::parse()
    }

    /// The description of the whole command line.
    pub(crate) fn description() -> clap::Command {
        Self::command()
    }
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Lists records, the oldest first.
    List(ListArgs),
    /// Shows a record, and what operators did to it.
    Show(ShowArgs),
    /// Settles an operation whose outcome you know.
    Settle(SettleArgs),
    /// Frees the key of an operation that had no effect: a retry runs it as its first attempt.
    Release(ReleaseArgs),
    /// Deletes a record, or all records of a scope: a retry runs the operation again.
    Erase(EraseArgs),
    /// Counts the records by state.
    Stats,
    /// Shows counts and records live. Ends on q or Ctrl-C. Without a terminal it prints lines.
    Watch(WatchArgs),
    /// Checks the store: each finding with its remedy. It writes two records and an audit
    /// entry, which expire.
    Doctor(DoctorArgs),
    /// Prints the completions of a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Writes the man pages into a folder.
    Man {
        /// The folder. It is made if it is missing.
        folder: PathBuf,
    },
}

impl Command {
    /// The store, if the command itself names it.
    pub(crate) fn url(&self) -> Option<&str> {
        match self {
            Self::Doctor(args) => args.url.as_deref(),
            _ => None,
        }
    }

    /// The namespace under which the key of a client is digested.
    pub(crate) fn namespace(&self) -> Option<&str> {
        let key = match self {
            Self::Show(args) => &args.key,
            Self::Settle(args) => &args.key,
            Self::Release(args) => &args.key,
            Self::Erase(args) => &args.key,
            _ => return None,
        };
        key.namespace.as_deref()
    }
}

#[derive(Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// Also shows the key under which the operation called another system. The purpose is the text
    /// that the handler gives to `Attempt::downstream_key`, for example `charge`. It needs the secret
    /// of the service.
    #[arg(long, value_name = "PURPOSE")]
    pub(crate) downstream: Option<String>,
}

#[derive(Args)]
pub(crate) struct WriteArgs {
    /// Why you do this. The audit entry contains it.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Does not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Also changes a record whose attempt runs. The attempt goes on and its response is not
    /// stored. After a release or an erasure, a retry runs beside it.
    #[arg(long)]
    pub(crate) even_in_flight: bool,
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("outcome").required(true).multiple(true)
    .args(["status", "failed", "done"]))]
pub(crate) struct SettleArgs {
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// The status that clients get, or that the operation ended with.
    #[arg(long, value_name = "CODE", value_parser = status)]
    pub(crate) status: Option<http::StatusCode>,
    /// A file with the body that clients get; `-` is the standard input. Default: an empty body.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["failed", "done"])]
    pub(crate) body_file: Option<PathBuf>,
    /// A header that clients get: `name: value`. Repeatable.
    #[arg(long = "header", value_name = "HEADER", value_parser = header,
        conflicts_with_all = ["failed", "done"])]
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// The operation failed. The next request runs it again, unless the service rejects failed
    /// operations.
    #[arg(long, conflicts_with = "done")]
    pub(crate) failed: bool,
    /// The operation was done, and there is no response for clients: a retry gets 409 with the
    /// status as `original_status`.
    #[arg(long, requires = "status")]
    pub(crate) done: bool,
    /// How long the record stays from now.
    #[arg(long, value_name = "AGE", default_value = "24h", value_parser = duration)]
    pub(crate) retention: Duration,
    /// Also replaces an encrypted response that this command has no key for.
    #[arg(long)]
    pub(crate) response_is_lost: bool,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

#[derive(Args)]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

#[derive(Args)]
pub(crate) struct EraseArgs {
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// Deletes all records of the scope with these 32 hexadecimal digits. So does a scope without
    /// `--key`.
    #[arg(long, value_name = "HEX", conflicts_with_all = ["digits", "key", "scope_of"],
        value_parser = values::scope_digest)]
    pub(crate) scope_digest: Option<tower_idempotency::store::ScopeDigest>,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

#[derive(Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) list: ListArgs,
    /// How long it waits between two looks. It waits longer if a look takes more than a tenth of
    /// this.
    #[arg(long, value_name = "AGE", default_value = "2s", value_parser = duration)]
    pub(crate) every: Duration,
    /// Ends after so many looks.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) times: Option<u64>,
}

#[derive(Args)]
pub(crate) struct DoctorArgs {
    /// The store, as `--store`.
    #[arg(value_name = "URL")]
    pub(crate) url: Option<String>,
}

#[cfg(test)]
mod tests;
