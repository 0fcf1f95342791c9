//! Tests of the program, over sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod identity;
mod quickstart;
