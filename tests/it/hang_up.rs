//! Clients that hang up: what has begun goes on, and what has not leaves nothing.

mod one_process;
#[cfg(feature = "redis")]
mod processes;
