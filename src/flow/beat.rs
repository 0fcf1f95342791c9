//! When the lease of an attempt is renewed.

use std::time::Duration;

/// How long it takes at most until a renewal is visible in the record.
const RENEWAL_ARRIVES: Duration = Duration::from_millis(250);

/// The time between two renewals of a lease.
pub(super) fn beat(lease: Duration) -> Duration {
    lease / 3
}

/// How long the layer waits for the renewal of a lease that looks lapsed.
///
/// The clock of a store may step forward. Every lease then looks lapsed until its next renewal.
pub(super) fn missed_beat(lease: Duration) -> Duration {
    let beat = beat(lease);
    beat + RENEWAL_ARRIVES.min(beat / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_beat_is_longer_than_a_beat_but_never_much() {
        let [short, long] = [Duration::from_millis(60), Duration::from_secs(30)];
        assert_eq!(missed_beat(short), Duration::from_millis(25));
        assert_eq!(missed_beat(long), Duration::from_millis(10_250));
    }
}
