//! `idempotency`: finds operations that are stuck in a store of tower-idempotency, and settles them
//! by hand.

use std::process::ExitCode;

mod args;
mod change;
mod commands;
mod failure;
mod find;
mod open;
mod progress;
mod secrets;
mod session;
mod terminal;
mod view;

use args::Cli;
use terminal::Terminal;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Cli { global, command } = Cli::read();
    let mut terminal = Terminal::of_process();
    let done = Box::pin(commands::run(&global, &command, &mut terminal)).await;
    done.map_or_else(|failure| failure.report(&mut terminal), |()| ExitCode::SUCCESS)
}
