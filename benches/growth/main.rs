//! How cost grows: with connections, with records, with the requests that wait for one key, with
//! large bodies, and for operators who list millions of records.
//!
//! `cargo bench --all-features --bench growth -- CASE…` prints the tables and writes them to
//! docs/pictures. `scripts/pictures` draws them. benches/README.md explains them. Linux only.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod bodies;
mod connections;
mod hot;
mod listing;
mod records;
mod serve;
mod table;

#[allow(dead_code, unreachable_pub)]
#[path = "../http/server.rs"]
mod http_server;
#[allow(dead_code)]
#[path = "../http/load.rs"]
mod load;
#[allow(dead_code, unreachable_pub)]
#[path = "../support/mod.rs"]
mod support;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut words = arguments.iter().map(String::as_str).filter(|word| *word != "--bench");
    let Some(first) = words.next() else {
        return println!(
            "cases: connections, records [MILLIONS], expiry, full, hot [WAITERS], bodies [ROW], listing [MILLIONS]"
        );
    };
    let number = words.next();
    match (first, number) {
        ("--serve", Some(stack)) => serve::serve(stack),
        // `cargo test --benches` runs every benchmark with this flag, to check that it starts.
        ("--test", _) => {}
        ("connections", _) => connections::run(),
        ("records", millions) => records::run(millions.map_or(10, |text| text.parse().unwrap())),
        ("expiry", _) => records::expire(),
        ("full", _) => records::full(),
        ("hot", waiters) => hot::run(waiters.map_or(10_000, |text| text.parse().unwrap())),
        ("listing", millions) => listing::run(millions.map_or(10, |text| text.parse().unwrap())),
        ("bodies", row) => bodies::run(row.unwrap_or("")),
        (other, _) => panic!("no case {other}"),
    }
}
