//! `completions`: what a shell needs to complete the command line.

use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::Failure;
use crate::terminal::Terminal;

pub(crate) fn run(shell: Shell, terminal: &mut Terminal) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::description(), "idempotency", &mut script);
    Ok(terminal.write(&script)?)
}
