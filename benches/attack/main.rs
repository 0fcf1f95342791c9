//! Attacks a running sandbox, and prints the rejections and the latency of a second, honest tenant.
//!
//! ```sh
//! cargo bench --all-features --bench attack -- CASE [SECONDS]
//! ```
//!
//! Without a case, the benchmark lists the cases. `all` runs every case. An attack lasts 30 s by
//! default. With `--profile dev` before the `--`, the sandbox is built faster and runs slower.
//!
//! The honest tenant sends 20 payments a second, each with a fresh key, on one connection that
//! stays open. The attacker has another token, or none, and one thread. A case passes if:
//!
//! - no payment of the honest tenant is rejected;
//! - its p99 is at most 50 ms above its p99 without an attack;
//! - no key has more than one effect. This is the only condition of the case `full`.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

mod attacker;
mod client;
mod fill;
mod full;
mod honest;
mod parsing;
mod report;
mod stage;
mod tally;
mod uploads;
mod waiting;

// The tests use the rest of these modules.
#[allow(dead_code, unused_imports)]
#[path = "../../tests/it/support/redis/mod.rs"]
mod redis;
#[allow(dead_code)]
#[path = "../../tests/it/support/sandbox.rs"]
mod sandbox;

const CASES: [&str; 5] = ["fill", "full", "parsing", "uploads", "waiting"];

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // Cargo adds its own flag.
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let Some(case) = arguments.first() else {
        println!("cases: all, {}", CASES.join(", "));
        return;
    };
    let seconds =
        arguments.get(1).map_or(30, |seconds| seconds.parse().expect("a number of seconds"));
    build_sandbox();
    let chosen = if case == "all" { &CASES[..] } else { &[case.as_str()] };
    for case in chosen {
        run(case, Duration::from_secs(seconds)).await;
    }
}

async fn run(case: &str, time: Duration) {
    match case {
        "fill" => fill::run(time).await,
        "full" => full::run(time).await,
        "parsing" => parsing::run(time).await,
        "uploads" => uploads::run(time).await,
        "waiting" => waiting::run(time).await,
        _ => panic!("unknown case {case:?}"),
    }
}

/// Builds the sandbox with the profile of this program, into the folder where the benchmark expects
/// it.
fn build_sandbox() {
    let program = std::env::current_exe().unwrap();
    let folder = program.parent().and_then(Path::parent).unwrap();
    let profile = if folder.ends_with("debug") { "dev" } else { "release" };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--all-features", "--example", "sandbox", "--profile", profile])
        .arg("--target-dir")
        .arg(folder.parent().unwrap())
        .status();
    assert!(built.unwrap().success(), "the sandbox was not built");
}
