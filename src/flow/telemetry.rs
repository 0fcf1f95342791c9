//! Counters and histograms through the facade `metrics`. No label contains a key, a scope or a
//! path. Namespace and route are those of the record's label, so there are at most 1,000 of them.
//!
//! Without a recorder, each of these functions is one look at where it would be, and reads no
//! clock.

use std::sync::Arc;

use tokio::time::Instant;

use crate::flow::kind;
use crate::record::label::RecordLabel;
use crate::store::{PreviousAttempt, StoreErrorKind};

mod describe;
pub(crate) mod gauges;
mod series;

pub(crate) use describe::describe;
use series::{Series, count, is_heard, record};

/// The namespace and the route of a record, if it has a label.
pub(crate) type Label<'a> = Option<&'a Arc<RecordLabel>>;

/// The instant at which something began, if a recorder wants to know.
#[derive(Clone, Copy)]
pub(crate) struct Began(Option<Instant>);

/// Something begins whose time is measured.
pub(crate) fn begins() -> Began {
    Began(is_heard().then(Instant::now))
}

impl Began {
    /// It began then.
    pub(crate) fn at(instant: Instant) -> Self {
        Self(Some(instant))
    }
}

/// A guarded request ended: `executed`, `replayed`, `unguarded`, the code of a rejection, …
pub(crate) fn request(label: Label<'_>, result: &'static str) {
    count(label, Series("idempotency_requests_total", [("result", result), NONE]));
}

/// An attempt began.
pub(crate) fn attempt(label: Label<'_>, previous: Option<PreviousAttempt>) {
    let previous = match previous {
        None => "none",
        Some(PreviousAttempt::Failed { .. }) => "failed",
        Some(PreviousAttempt::Abandoned) => "abandoned",
    };
    count(label, Series("idempotency_attempts_total", [("previous", previous), NONE]));
}

/// The record of an attempt was settled: `stored`, `lease_lost`, `not_committed`, or `retried` in
/// the background.
pub(crate) fn settled(label: Label<'_>, operation: &'static str, result: &'static str) {
    let labels = [("operation", operation), ("result", result)];
    count(label, Series("idempotency_settled_total", labels));
}

/// The retries of a write in the background ended: `stored`, `lease_lost` or `given_up`.
pub(crate) fn retried(label: Label<'_>, operation: &'static str, result: &'static str) {
    let labels = [("operation", operation), ("result", result)];
    count(label, Series("idempotency_retried_writes_total", labels));
}

/// A lease was lost while its handler ran: `taken` by another attempt, or `lapsed` because the
/// store could not renew it.
pub(crate) fn lease_lost(label: Label<'_>, cause: &'static str) {
    count(label, Series("idempotency_leases_lost_total", [("cause", cause), NONE]));
}

/// An operation of the store failed.
pub(crate) fn store_error(label: Label<'_>, operation: &'static str, kind: StoreErrorKind) {
    let labels = [("operation", operation), ("kind", kind::word(kind))];
    count(label, Series("idempotency_store_errors_total", labels));
}

/// An event was lost, because its subscriber is too slow.
pub(crate) fn event_lost() {
    count(None, Series("idempotency_events_lost_total", [NONE, NONE]));
}

/// An operation of the store ended, well or not.
pub(crate) fn store_took(label: Label<'_>, operation: &'static str, began: Began) {
    took(label, Series("idempotency_store_seconds", [("operation", operation), NONE]), began);
}

/// A handler ended.
pub(crate) fn handler_took(label: Label<'_>, began: Began) {
    took(label, Series("idempotency_handler_seconds", [NONE, NONE]), began);
}

/// A request has waited for another one.
pub(crate) fn waited(label: Label<'_>, began: Began) {
    took(label, Series("idempotency_wait_seconds", [NONE, NONE]), began);
}

fn took(label: Label<'_>, series: Series, Began(began): Began) {
    if let Some(began) = began {
        record(label, series, || began.elapsed());
    }
}

/// No label.
const NONE: (&str, &str) = ("", "");

#[cfg(test)]
mod tests;
