//! Ratios of a handler behind the layer to the same handler without it, over real sockets.
//!
//! `cargo bench --all-features --bench http` prints them; benches/README.md tells what they mean. Each round measures
//! the bare handler and the handler behind the layer in turn, and the ratio is taken within the round, because the
//! speed of a shared machine drifts. The server has one core, everything else another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_precision_loss)]

mod load;
mod measure;
mod server;
#[allow(dead_code, unreachable_pub)]
#[path = "../support/mod.rs"]
mod support;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--serve", stack] => server::serve(stack),
        // `cargo test --benches` runs every benchmark with this flag, to see that it starts.
        ["--test", ..] => {}
        _ => measure::all(),
    }
}
