//! The sandbox example as a process of its own, over a real socket.

mod arguments;
mod bad_input;
mod drain;
mod knobs;
mod page;
#[cfg(feature = "redis")]
mod redis;
mod retries;
mod routes;
#[cfg(feature = "sqlite")]
mod settings;
#[cfg(all(feature = "postgres", feature = "sqlite", feature = "conformance"))]
mod sql;

use crate::support::sandbox as server;
