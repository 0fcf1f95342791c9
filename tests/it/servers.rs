//! The tests of the stores, which start a server of Redis or PostgreSQL each. Those of the memory
//! store and of SQLite need no server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[cfg(all(feature = "redis", feature = "postgres", feature = "sqlite", feature = "conformance"))]
mod every_store;
mod stores;
mod support;
#[cfg(all(feature = "redis", feature = "postgres", feature = "sqlite", feature = "conformance"))]
mod transaction;
