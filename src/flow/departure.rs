//! A caller that goes before its response.

use std::sync::Arc;

use crate::runtime::task::Stage;
use crate::settings::warned::{Warned, Warning};

/// Tells once that a caller has gone, if it is dropped before [`responded`](Self::responded) and
/// the flow goes on without the caller.
pub(super) struct Departure(Option<(Arc<Warned>, Stage)>);

impl Departure {
    pub(super) fn of(warned: &Arc<Warned>, stage: &Stage) -> Self {
        Self(Some((Arc::clone(warned), stage.clone())))
    }

    pub(super) fn responded(mut self) {
        self.0 = None;
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        if let Some((warned, stage)) = self.0.take()
            && !stage.ends_with_caller()
            && warned.is_first(Warning::CallerGone)
        {
            tracing::info!(
                "a caller has gone before its response: an operation that runs goes on to its \
                 end, and its response is stored; if a timeout outside of this layer has ended \
                 the request, put the timeout inside"
            );
        }
    }
}
