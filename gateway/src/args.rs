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

    /// Only asks the gateway that runs with this file whether it is alive
    ///
    /// It sends `GET /healthz` to the listener of `operators`. An image without a shell and without
    /// curl needs it.
    #[arg(long, conflicts_with = "check")]
    pub(crate) healthcheck: bool,
}
