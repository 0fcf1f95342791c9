//! The tests that put a client, a socket and a server around the layer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod direction;
mod http;
mod layering;
mod support;
