//! The handler's side of the layer: its attempt, its directive about the response, and extractors.

pub(crate) mod attempt;
pub(crate) mod directive;
#[cfg(feature = "axum")]
pub mod extract;
pub(crate) mod without_key;
