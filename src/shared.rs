//! What all clones of a layer, and all services made of it, have in common.

use std::sync::Arc;

use crate::running::Running;
use crate::waiting::Lines;

/// The store, who waits for it, and what runs.
pub(crate) struct Shared<St> {
    pub(crate) store: St,
    pub(crate) lines: Arc<Lines>,
    pub(crate) running: Running,
}

impl<St> Shared<St> {
    pub(crate) fn new(store: St) -> Self {
        Self { store, lines: Arc::default(), running: Running::default() }
    }
}
