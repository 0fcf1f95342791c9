//! The layer as its users meet it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[cfg(feature = "axum")]
mod sandbox;
mod support;
