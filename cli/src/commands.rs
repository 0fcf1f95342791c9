//! The commands, one file for each.

use crate::args::{Command, Globals};
use crate::failure::Failure;
use crate::session::Session;
use crate::terminal::Terminal;

mod completions;
mod doctor;
mod erase;
mod list;
mod man;
mod release;
mod settle;
mod show;
mod stats;
mod watch;

/// Carries a command out.
pub(crate) async fn run(
    globals: &Globals,
    command: &Command,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    match command {
        Command::Completions { shell } => return completions::run(*shell, terminal),
        Command::Man { folder } => return man::run(folder),
        _ => {}
    }
    let mut session = Session::open(globals, command, terminal)?;
    on_store(command, &mut session).await
}

/// Carries out a command that has a store.
pub(crate) async fn on_store(command: &Command, session: &mut Session<'_>) -> Result<(), Failure> {
    match command {
        Command::List(args) => list::run(args, session).await,
        Command::Show(args) => show::run(args, session).await,
        Command::Settle(args) => settle::run(args, session).await,
        Command::Release(args) => release::run(args, session).await,
        Command::Erase(args) => erase::run(args, session).await,
        Command::Stats => stats::run(session).await,
        Command::Watch(args) => watch::run(args, session).await,
        Command::Doctor(_) => doctor::run(session).await,
        Command::Completions { .. } | Command::Man { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests;
