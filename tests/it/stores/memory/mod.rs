//! The memory store.

mod bounds;
mod shares;
