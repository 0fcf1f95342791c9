//! `tower-idempotency-gateway`: the layer in front of any HTTP service.

use std::process::ExitCode;

use clap::Parser;

mod args;
mod file;
mod gateway;
mod http2;
mod identity;
mod operate;
mod plan;
mod proxy;
mod run;
mod serve;
mod table;
mod telemetry;
mod tls;
mod workers;

fn main() -> ExitCode {
    let args = args::Args::parse();
    match run::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("tower-idempotency-gateway: {why}");
            ExitCode::FAILURE
        }
    }
}
