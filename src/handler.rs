//! What a handler sees of the layer, and what it says about its own response.

pub(crate) mod attempt;
pub(crate) mod directive;
#[cfg(feature = "axum")]
pub mod extract;
