//! Tests of the program, over sockets.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod proxy;
