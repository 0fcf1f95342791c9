//! What every other module needs of the runtime: futures, locks and rare log lines.

pub(crate) mod lock;
pub(crate) mod seldom;
pub(crate) mod task;
