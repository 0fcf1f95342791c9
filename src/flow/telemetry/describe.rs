//! What each metric means.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

const COUNTERS: [(&str, &str); 7] = [
    ("idempotency_requests_total", "Guarded requests, by how they ended."),
    ("idempotency_attempts_total", "Attempts that began, by how the one before ended."),
    ("idempotency_settled_total", "First writes of the end of an attempt, by their result."),
    (
        "idempotency_retried_writes_total",
        "Writes of the end of an attempt that were retried in the background, by their result.",
    ),
    ("idempotency_leases_lost_total", "Leases that were lost while their attempt ran."),
    ("idempotency_store_errors_total", "Operations of the store that failed, by kind of error."),
    (
        "idempotency_events_lost_total",
        "Events that were lost, because the subscriber of `on_event` is too slow.",
    ),
];

const HISTOGRAMS: [(&str, &str); 3] = [
    ("idempotency_store_seconds", "How long an operation of the store took."),
    ("idempotency_handler_seconds", "How long an attempt ran, from its reservation to its end."),
    ("idempotency_wait_seconds", "How long a request waited for another one with its key."),
];

/// Those that `Operator::report_every` sets.
const GAUGES: [(&str, Unit, &str); 8] = [
    ("idempotency_in_flight", Unit::Count, "Operations of this process that run."),
    ("idempotency_waiting", Unit::Count, "Requests of this process that wait for another one."),
    ("idempotency_records", Unit::Count, "Records in the store, by their state."),
    ("idempotency_record_bytes", Unit::Bytes, "Bytes of stored responses, by state."),
    (
        "idempotency_in_doubt",
        Unit::Count,
        "Operations in the store that may have had an effect, without a definitive response.",
    ),
    (
        "idempotency_oldest_in_doubt_seconds",
        Unit::Seconds,
        "How long the record that has been in doubt longest has not changed; 0 if there is none.",
    ),
    (
        "idempotency_oldest_abandoned_seconds",
        Unit::Seconds,
        "How long the record that was abandoned first has not changed; 0 if there is none.",
    ),
    (
        "idempotency_counted_timestamp_seconds",
        Unit::Seconds,
        "When the records in the store were last counted, in seconds since 1970.",
    ),
];

/// Tells the recorder what each metric means.
pub(crate) fn describe() {
    for (name, meaning) in COUNTERS {
        describe_counter!(name, Unit::Count, meaning);
    }
    for (name, meaning) in HISTOGRAMS {
        describe_histogram!(name, Unit::Seconds, meaning);
    }
    for (name, unit, meaning) in GAUGES {
        describe_gauge!(name, unit, meaning);
    }
}
