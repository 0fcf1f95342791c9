//! Compares a handler behind the layer with the same handler without it, over real sockets.
//!
//! `cargo bench --all-features --bench http` prints the ratios. benches/README.md explains them.
//!
//! Each round measures the bare handler and the guarded handler in turn. The ratio is taken within
//! the round, because the speed of a shared machine drifts. The server has one core, and all other
//! processes share another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_precision_loss)]

#[allow(dead_code)]
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
        // `cargo test --benches` runs every benchmark with this flag, to check that it starts.
        ["--test", ..] => {}
        _ => measure::all(),
    }
}
