//! The stores on SQL databases, and what they share: the row of a record, errors, pooled
//! connections and transactions.

pub(super) mod error;
mod listing;
mod pooled;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub(super) mod table;
pub(crate) mod tx;
