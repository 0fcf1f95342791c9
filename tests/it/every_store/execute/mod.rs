//! The protocol around any operation, over every store.

mod conflicts;
mod operations;
mod transactions;
