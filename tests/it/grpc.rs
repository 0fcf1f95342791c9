//! gRPC through real sockets, mostly with tonic at both ends.

mod bank;
mod calls;
mod classes;
#[cfg(feature = "redis")]
mod example;
mod refusals;
#[cfg(all(feature = "redis", feature = "postgres", feature = "sqlite", feature = "conformance"))]
mod transaction;
mod wire;
