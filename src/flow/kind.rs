//! The kind of an error of the store in one word, for logs, events and metrics.

use crate::store::StoreErrorKind;

/// The guides list these words.
pub(crate) fn word(kind: StoreErrorKind) -> &'static str {
    match kind {
        StoreErrorKind::Unavailable => "unavailable",
        StoreErrorKind::Timeout => "timeout",
        StoreErrorKind::Full => "full",
        StoreErrorKind::ScopeFull => "scope_full",
        StoreErrorKind::Configuration => "configuration",
        StoreErrorKind::Corrupt => "corrupt",
        StoreErrorKind::Decrypt => "decrypt",
        StoreErrorKind::Rejected => "rejected",
        StoreErrorKind::Conflict => "conflict",
        StoreErrorKind::TransactionLost => "transaction_lost",
        StoreErrorKind::Unsupported => "unsupported",
    }
}
