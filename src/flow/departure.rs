//! A caller that goes before its response.

use std::sync::Arc;

use crate::settings::warned::{Warned, Warning};

/// Tells once that a caller has gone, if it is dropped before [`responded`](Self::responded).
pub(super) struct Departure(Option<Arc<Warned>>);

impl Departure {
    pub(super) fn of(warned: &Arc<Warned>) -> Self {
        Self(Some(Arc::clone(warned)))
    }

    pub(super) fn responded(mut self) {
        self.0 = None;
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        if self.0.take().is_some_and(|warned| warned.is_first(Warning::CallerGone)) {
            tracing::info!(
                "a caller has gone before its response: an operation that runs goes on to its \
                 end, and its response is stored; if a timeout outside of this layer has ended \
                 the request, put the timeout inside"
            );
        }
    }
}
