//! The stores as production runs them: each case prints the rows of one table.
//!
//! ```sh
//! cargo bench --all-features --bench production -- CASE [arguments]
//! ```
//!
//! Each case starts the servers that it needs. Without a case, this lists them.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod serializable;

// Tests use more of it.
#[allow(dead_code, unused_imports)]
#[path = "../../tests/it/support/postgres/mod.rs"]
mod postgres;

#[tokio::main]
async fn main() {
    // Cargo adds a flag of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.split_first() {
        None => println!("cases: serializable"),
        Some((&"serializable", arguments)) => serializable::run(arguments).await,
        Some((case, _)) => panic!("there is no case {case:?}"),
    }
}
