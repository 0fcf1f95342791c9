//! The arguments of the program.

use std::path::PathBuf;

use clap::Parser;

/// Makes the HTTP operations of the service behind it safe to retry.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Args {
    /// The file with the settings
    #[arg(long, value_name = "FILE", env = "IDEMPOTENCY_GATEWAY_CONFIG")]
    pub(crate) config: PathBuf,

    /// Only tells whether the file is right
    #[arg(long)]
    pub(crate) check: bool,
}
