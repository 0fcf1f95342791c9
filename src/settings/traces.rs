//! How an application stores the trace of a response, and links replays to it.

use std::sync::Arc;

use crate::record::trace::TraceContext;

/// The functions of the application that know its traces.
#[derive(Clone)]
pub(crate) struct Traces {
    current: Arc<dyn Fn() -> Option<TraceContext> + Send + Sync>,
    link: Arc<dyn Fn(TraceContext) + Send + Sync>,
}

impl Traces {
    pub(crate) fn new(
        current: impl Fn() -> Option<TraceContext> + Send + Sync + 'static,
        link: impl Fn(TraceContext) + Send + Sync + 'static,
    ) -> Self {
        Self { current: Arc::new(current), link: Arc::new(link) }
    }

    /// The current span.
    pub(crate) fn current(&self) -> Option<TraceContext> {
        (self.current)()
    }

    /// Links the current span to the one in which a response was made.
    pub(crate) fn link(&self, original: TraceContext) {
        (self.link)(original);
    }
}
