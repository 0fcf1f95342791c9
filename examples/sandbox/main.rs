//! A payments server with knobs, to try every behaviour of the layer: by hand, from tests, or under
//! load.
//!
//! `cargo run --release --all-features --example sandbox -- --help` lists the flags. A browser
//! shows a page at `/`, where ten clicks are one payment. The sandbox runs on Unix only, because it
//! drains on SIGTERM.

use std::io::{self, Write as _};
use std::process::ExitCode;

use tower_idempotency::MemoryStore;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use args::{Args, Command, StoreChoice, USAGE};
use problem::Problem;

mod args;
mod ledger;
mod openapi;
mod page;
mod payments;
mod problem;
mod server;
mod stores;

#[tokio::main]
async fn main() -> ExitCode {
    let args = match Command::parse(std::env::args_os().skip(1)) {
        Ok(Command::Serve(args)) => args,
        Ok(Command::Help) => {
            let _ = writeln!(io::stdout(), "{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => return Problem::Misused(problem).report(),
    };
    let filter =
        EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();

    match serve(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => problem.report(),
    }
}

async fn serve(args: &Args) -> Result<(), Problem> {
    match &args.store {
        StoreChoice::Memory => {
            // A load generator is one scope, and may use a tenth of the store.
            let store = MemoryStore::new().max_records(10_000_000).max_bytes(5 << 30);
            server::serve(store, args.ledger()?, args).await
        }
        StoreChoice::Redis(url) => stores::redis::serve(url, args).await,
        StoreChoice::Postgres(url) => stores::postgres::serve(url, args).await,
        StoreChoice::PostgresTx(url) => stores::postgres::serve_in_transaction(url, args).await,
        StoreChoice::Sqlite(path) => stores::sqlite::serve(path, args).await,
        StoreChoice::SqliteTx(path) => stores::sqlite::serve_in_transaction(path, args).await,
    }
}
