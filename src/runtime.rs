//! Helpers for all other modules: futures, locks and rate-limited log lines.

pub(crate) mod lock;
pub(crate) mod seldom;
pub(crate) mod task;
