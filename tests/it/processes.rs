//! The tests that start the examples as processes, and the proxies between them and their
//! servers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[cfg(all(target_family = "unix", feature = "metrics"))]
mod alerts;
mod examples;
mod faults;
mod sandbox;
mod support;
