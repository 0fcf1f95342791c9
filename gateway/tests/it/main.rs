//! Tests of the program, over sockets.

// `pay(key, json!({…}))` reads better than with a reference.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::needless_pass_by_value, unreachable_pub)]

mod identity;
mod proxy;
mod quickstart;
mod services;
