//! The gauges. They are set now and then, because each change would cost every request.

use std::time::{Duration, SystemTime};

use metrics::gauge;

use crate::store::operator::{StateStats, Stats};

/// What runs and waits in this process.
pub(crate) fn of_process(in_flight: usize, waiting: usize) {
    gauge!("idempotency_in_flight").set(exact(in_flight as u64));
    gauge!("idempotency_waiting").set(exact(waiting as u64));
}

/// What is in the store.
pub(crate) fn of_store(stats: &Stats) {
    let Stats { in_flight, abandoned, failed, success, not_retained, in_doubt } = *stats;
    for (state, StateStats { count, bytes, .. }) in [
        ("in-flight", in_flight),
        ("abandoned", abandoned),
        ("failed", failed),
        ("success", success),
        ("not-retained", not_retained),
    ] {
        gauge!("idempotency_records", "state" => state).set(exact(count));
        gauge!("idempotency_record_bytes", "state" => state).set(exact(bytes));
    }
    gauge!("idempotency_in_doubt").set(exact(in_doubt.count));
    gauge!("idempotency_oldest_in_doubt_seconds").set(age_of_oldest(in_doubt));
    gauge!("idempotency_oldest_abandoned_seconds").set(age_of_oldest(abandoned));
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    gauge!("idempotency_counted_timestamp_seconds").set(now.as_secs_f64());
}

fn age_of_oldest(state: StateStats) -> f64 {
    state.oldest.unwrap_or(Duration::ZERO).as_secs_f64()
}

#[allow(clippy::cast_precision_loss, reason = "a gauge cannot be more exact")]
fn exact(number: u64) -> f64 {
    number as f64
}
