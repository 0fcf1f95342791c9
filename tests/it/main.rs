//! The integration tests, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[cfg(feature = "conformance")]
mod faults;
mod memory;
#[cfg(feature = "conformance")]
mod stores;
