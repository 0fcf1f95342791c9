//! Counts what one guarded request costs, beside the bare handler and beside handlers that do the
//! least by hand. Counts do not depend on the speed of the machine.
//!
//! `cargo bench --all-features --bench counts` prints the table. benches/README.md explains it.
//! With `-- --check` it fails if a count of this crate is above that of the table there, and with
//! `UPDATE_COUNTS=1` it writes the table. `ONLY=Redis` leaves out the other paths.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::cast_precision_loss)]

mod counters;
#[path = "../http/server.rs"]
#[allow(dead_code)]
mod http_server;
mod limit;
#[path = "../http/load.rs"]
#[allow(dead_code)]
mod load;
mod measure;
mod paths;
mod server;
#[allow(dead_code, unreachable_pub)]
#[path = "../support/mod.rs"]
mod support;
mod table;
mod told;

use load::{Keys, Load};
use measure::Tools;
use paths::Path;
use support::Redis;
use table::{Counts, Table};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--serve", stack, url] => server::serve(stack, url),
        // `cargo test --benches` runs every benchmark with this flag, to check that it starts.
        ["--test", ..] => {}
        // cargo adds `--bench`.
        _ if arguments.contains(&"--check") => check(),
        _ => print(),
    }
}

fn paths() -> impl Iterator<Item = Path> {
    let only = std::env::var("ONLY").unwrap_or_default();
    paths::all().into_iter().filter(move |path| path.name.contains(&only))
}

fn print() {
    let (redis, tools) = (Redis::start(&[]), Tools::find());
    let mut table = Table::default();
    for path in paths() {
        let without_key = Load { keys: Keys::None, ..path.load.clone() };
        for (handler, stack, load) in [
            ("guarded", path.guarded, &path.load),
            ("limit", path.limit, &path.load),
            ("bare", "bare", &without_key),
        ] {
            if path.limit.is_empty() && handler != "guarded" {
                continue;
            }
            eprintln!("{}, {handler}", path.name);
            let counts = measure::all(stack, load, &redis, &tools);
            table.0.push((format!("{} | {handler}", path.name), counts));
        }
    }
    println!("{table}");
    if std::env::var_os("UPDATE_COUNTS").is_some() {
        assert!(
            tools.strace && tools.valgrind && !cfg!(debug_assertions),
            "the table needs strace, valgrind and an optimised build"
        );
        assert!(std::env::var_os("ONLY").is_none(), "the table has all paths");
        table.write();
    }
}

/// Compares the guarded handler with the table.
fn check() {
    let (redis, found) = (Redis::start(&[]), Tools::find());
    if !found.strace {
        eprintln!("system calls are not checked, because strace does not run here");
    }
    let table = Table::read();
    let grown: Vec<_> = paths()
        .flat_map(|path| {
            let strace = found.strace && path.has_steady_calls();
            let tools = Tools { strace, valgrind: false };
            let counts: Counts = measure::all(path.guarded, &path.load, &redis, &tools);
            table.grown(&format!("{} | guarded", path.name), &counts)
        })
        .collect();
    drop(redis);
    if !grown.is_empty() {
        eprintln!("a request costs more than before:\n{}", grown.join("\n"));
        eprintln!("If it must: UPDATE_COUNTS=1 cargo bench --all-features --bench counts");
        std::process::exit(1);
    }
}
