//! What a trace shows of a guarded request: one debug event, and fields of the caller's span if it
//! declares them.

use tracing::{Span, field};

use crate::record::key::StorageKey;

/// The key was read. Its digest is shown, and not the key.
pub(crate) fn begins(key: &StorageKey) {
    Span::current().record("idempotency.key", field::display(key));
}

/// An attempt runs.
pub(super) fn runs(attempt: u32) {
    Span::current().record("idempotency.attempt", attempt);
}

/// A guarded request ended. It has no key if it was rejected before its key was looked up.
pub(crate) fn ended(key: Option<&StorageKey>, outcome: &'static str) {
    Span::current().record("idempotency.outcome", outcome);
    tracing::debug!(key = key.map(field::display), outcome, "guarded request ended");
}
