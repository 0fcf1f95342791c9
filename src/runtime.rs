//! Helpers for all other modules: futures, deadlines, locks and rate-limited log lines.

pub(crate) mod deadlines;
pub(crate) mod lock;
pub(crate) mod seldom;
pub(crate) mod task;
