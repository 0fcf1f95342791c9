//! Counters through the facade `metrics`. No label contains a key, a scope or a path.

use metrics::{Unit, counter, describe_counter};

use crate::store::{PreviousAttempt, StoreErrorKind};

/// Tells the recorder what each counter means.
pub(crate) fn describe() {
    const COUNTERS: [(&str, &str); 6] = [
        ("idempotency_requests_total", "Guarded requests that got a response, by what it was."),
        ("idempotency_attempts_total", "Attempts that began, by how the one before ended."),
        ("idempotency_settled_total", "First writes of the end of an attempt, by their result."),
        (
            "idempotency_retried_writes_total",
            "Writes of the end of an attempt that were retried in the background, by their result.",
        ),
        ("idempotency_leases_lost_total", "Leases that were lost while their attempt ran."),
        (
            "idempotency_store_errors_total",
            "Operations of the store that failed, by kind of error.",
        ),
    ];
    for (name, meaning) in COUNTERS {
        describe_counter!(name, Unit::Count, meaning);
    }
}

/// A guarded request got its response: `executed`, `replayed`, `unguarded`, or the code of a
/// rejection.
pub(crate) fn request(result: &'static str) {
    // A literal is part of a key that is there for good. Any other label is allocated.
    match result {
        "executed" => counter!("idempotency_requests_total", "result" => "executed"),
        "replayed" => counter!("idempotency_requests_total", "result" => "replayed"),
        result => counter!("idempotency_requests_total", "result" => result),
    }
    .increment(1);
}

/// An attempt began.
pub(crate) fn attempt(previous: Option<PreviousAttempt>) {
    match previous {
        None => counter!("idempotency_attempts_total", "previous" => "none"),
        Some(PreviousAttempt::Failed { .. }) => {
            counter!("idempotency_attempts_total", "previous" => "failed")
        }
        Some(PreviousAttempt::Abandoned) => {
            counter!("idempotency_attempts_total", "previous" => "abandoned")
        }
    }
    .increment(1);
}

/// The record of an attempt was settled: `stored`, `lease_lost`, `not_committed`, or `retried` in
/// the background.
pub(crate) fn settled(operation: &'static str, result: &'static str) {
    let settled = if (operation, result) == ("complete", "stored") {
        counter!("idempotency_settled_total", "operation" => "complete", "result" => "stored")
    } else {
        counter!("idempotency_settled_total", "operation" => operation, "result" => result)
    };
    settled.increment(1);
}

/// The retries of a write in the background ended: `stored`, `lease_lost` or `given_up`.
pub(crate) fn retried(operation: &'static str, result: &'static str) {
    counter!("idempotency_retried_writes_total", "operation" => operation, "result" => result)
        .increment(1);
}

/// A lease was lost while its handler ran: `taken` by another attempt, or `lapsed` because the
/// store could not renew it.
pub(crate) fn lease_lost(cause: &'static str) {
    counter!("idempotency_leases_lost_total", "cause" => cause).increment(1);
}

/// An operation of the store failed.
pub(crate) fn store_error(operation: &'static str, kind: StoreErrorKind) {
    let kind = match kind {
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
    };
    counter!("idempotency_store_errors_total", "operation" => operation, "kind" => kind)
        .increment(1);
}
