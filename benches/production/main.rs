//! The stores under production conditions. Each case prints the rows of one table.
//!
//! ```sh
//! cargo bench --all-features --bench production -- CASE [arguments]
//! ```
//!
//! Each case starts the servers that it needs. Without a case, the benchmark lists the cases.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod bodies;
mod clock;
mod demoted;
mod each_redis;
mod locks;
mod no_writes;
mod operators;
mod operators_lite;
mod patience;
mod serializable;
mod sqlite;
mod sweep;
mod table;

// The tests use the rest of these modules.
#[allow(dead_code, unused_imports)]
#[path = "../../tests/it/support/postgres/mod.rs"]
mod postgres;
#[allow(dead_code)]
#[path = "../../tests/it/support/proxy.rs"]
mod proxy;
#[allow(dead_code, unused_imports)]
#[path = "../../tests/it/support/redis/mod.rs"]
mod redis;

#[tokio::main]
async fn main() {
    // Cargo adds its own flag.
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.split_first() {
        None => println!(
            "cases: bodies, clock, demoted, locks, no_writes, operators, operators_lite, patience, serializable, sqlite, \
             sweep, table"
        ),
        Some((&"bodies", arguments)) => bodies::run(arguments).await,
        Some((&"clock", _)) => clock::run().await,
        Some((&"demoted", arguments)) => demoted::run(arguments).await,
        Some((&"locks", arguments)) => locks::run(arguments).await,
        Some((&"no_writes", arguments)) => no_writes::run(arguments).await,
        Some((&"operators", arguments)) => operators::run(arguments).await,
        Some((&"operators_lite", arguments)) => operators_lite::run(arguments).await,
        Some((&"patience", arguments)) => patience::run(arguments).await,
        Some((&"serializable", arguments)) => serializable::run(arguments).await,
        Some((&"sqlite", arguments)) => sqlite::run(arguments).await,
        Some((&"sweep", arguments)) => sweep::run(arguments).await,
        Some((&"table", arguments)) => table::run(arguments).await,
        Some((case, _)) => panic!("unknown case {case:?}"),
    }
}
