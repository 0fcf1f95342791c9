//! The tests that need nothing but this process: no server, no program, and no feature. Each
//! feature adds its own tests.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[cfg(feature = "admin")]
mod admin;
mod contract;
#[cfg(feature = "grpc")]
mod grpc;
mod layer;
mod meta;
mod settings;
mod support;
#[cfg(feature = "testing")]
mod testing;
