//! What all clones of a layer, and all services made of it, have in common.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::key::StorageKey;
use crate::lapsed::Lapsed;
use crate::renewals::Renewals;
use crate::running::Running;
use crate::store::{ErrorKind, StoreError};
use crate::waiting::Lines;
use crate::{task, telemetry};

/// The store, who waits for it, and what runs.
pub(crate) struct Shared<St> {
    pub(crate) store: St,
    pub(crate) lines: Arc<Lines>,
    pub(crate) running: Running,
    pub(crate) renewals: Renewals,
    pub(crate) lapsed: Lapsed,
    /// Tells the clones of one layer from other layers.
    pub(crate) id: Arc<()>,
    /// Whether the latest word of the store was a failure.
    failing: AtomicBool,
}

impl<St> Shared<St> {
    pub(crate) fn new(store: St) -> Self {
        Self {
            store,
            lines: Arc::default(),
            running: Running::default(),
            renewals: Renewals::default(),
            lapsed: Lapsed::default(),
            id: Arc::default(),
            failing: AtomicBool::new(false),
        }
    }

    /// Counts and logs a failure of the store. In an outage each request fails alike, so only the first failure since
    /// the store last answered is a warning.
    pub(crate) fn store_failed(&self, operation: &'static str, key: &StorageKey, error: &StoreError) {
        telemetry::store_error(operation, error.kind());
        let source = error.source();
        if self.failing.swap(true, Ordering::Relaxed) {
            tracing::debug!(operation, %key, %error, source, "an operation of the store failed");
        } else {
            tracing::warn!(operation, %key, %error, source, "an operation of the store failed");
        }
    }

    /// Ends an outage, if there was one.
    pub(crate) fn store_answered(&self) {
        if self.failing.load(Ordering::Relaxed) && self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the store answers again");
        }
    }
}

/// Waits for an operation of the store, but no longer than `bound`.
pub(crate) async fn within<T>(
    bound: Duration,
    operation: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    task::within(bound, operation).await.unwrap_or_else(|| Err(StoreError::new(ErrorKind::Timeout)))
}
