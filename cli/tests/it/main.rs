//! The program as a process, against SQLite and Redis.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod every_store;
mod misuse;
mod planted;
mod program;
mod shell;
mod stores;
mod terminal;
