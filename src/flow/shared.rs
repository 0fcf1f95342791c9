//! The state that all clones of a layer and all of its services share.

use std::any::type_name;
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::kind;
use super::lapsed::Lapsed;
use super::observed::Observer;
use super::renewals::Renewals;
use super::running::Running;
use super::telemetry::{self, Label};
use super::waiting::Lines;
use crate::record::key::StorageKey;
use crate::runtime::deadlines::{InTime, in_time};
use crate::runtime::seldom::Seldom;
use crate::store::{StoreError, StoreErrorKind};

/// The store, the lines of waiting requests, and the running operations.
pub(crate) struct Shared<St> {
    pub(crate) store: St,
    pub(crate) lines: Arc<Lines>,
    pub(crate) running: Running,
    pub(crate) renewals: Renewals,
    pub(crate) lapsed: Lapsed,
    pub(crate) observer: Observer,
    /// Identifies the layer and its clones.
    pub(crate) id: Arc<()>,
    /// Whether the last operation of the store failed.
    failing: AtomicBool,
    rejecting: Seldom,
    losing_bodies: Seldom,
}

impl<St> Shared<St> {
    pub(crate) fn new(store: St) -> Self {
        Self {
            store,
            lines: Arc::default(),
            running: Running::default(),
            renewals: Renewals::default(),
            lapsed: Lapsed::default(),
            observer: Observer::default(),
            id: Arc::default(),
            failing: AtomicBool::new(false),
            rejecting: Seldom::new(),
            losing_bodies: Seldom::new(),
        }
    }

    /// Counts and logs a failure of the store.
    ///
    /// In an outage every request fails, so only the first failure since the last reply is a
    /// warning. A store that rejects a request replies to others at the same time. Such failures
    /// are warnings at a limited rate, because a client can cause any number of them.
    pub(crate) fn store_failed(
        &self,
        operation: &'static str,
        key: &StorageKey,
        label: Label<'_>,
        error: &StoreError,
    ) {
        telemetry::store_error(label, operation, error.kind());
        let source = error.source();
        let kind = kind::word(error.kind());
        let is_news = if error.kind().is_outage() {
            !self.failing.swap(true, Ordering::Relaxed)
        } else {
            self.rejecting.is_due()
        };
        if is_news {
            tracing::warn!(operation, %key, kind, %error, source, "store operation failed");
        } else {
            tracing::debug!(operation, %key, kind, %error, source, "store operation failed");
        }
    }

    /// Logs that the store rejects a response, which is then stored without its body.
    pub(crate) fn response_rejected(&self, key: &StorageKey, error: &StoreError) {
        if !self.losing_bodies.is_due() {
            return;
        }
        tracing::error!(
            %key, %error, store = type_name::<St>(), source = error.source(),
            "the store rejects the response: it is stored without its body, and a retry gets 409; \
             check the permissions and limits of the store"
        );
    }

    /// Logs the end of an outage, if there was one.
    pub(crate) fn store_replied(&self) {
        if self.failing.load(Ordering::Relaxed) && self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the store replies again: its outage has ended");
        }
    }
}

/// Runs an operation of the store for at most `bound`.
pub(crate) fn within<T, F>(bound: Duration, operation: F) -> InTime<F>
where
    F: Future<Output = Result<T, StoreError>>,
{
    in_time(bound, operation, || Err(StoreError::new(StoreErrorKind::Timeout)))
}
