//! The wait before a retry.

use std::time::Duration;

/// Exponential backoff with full jitter. The wait before the n-th retry is random, from zero to
/// `base` doubled n - 1 times, or to `most`. So clients that fail together do not retry together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    pub(crate) base: Duration,
    pub(crate) most: Duration,
}

impl Backoff {
    /// The longest wait before the n-th retry, n counted from 1.
    pub(crate) fn ceiling(self, retry: u32) -> Duration {
        let doubled = 1_u32.checked_shl(retry.saturating_sub(1)).unwrap_or(u32::MAX);
        self.base.saturating_mul(doubled).min(self.most)
    }

    /// A wait before the n-th retry.
    pub(crate) fn wait(self, retry: u32) -> Duration {
        jitter(self.ceiling(retry))
    }

    /// A random time to add to a wait that the server asked for, because it may have asked all
    /// clients for the same wait.
    pub(crate) fn spread(self) -> Duration {
        jitter(self.ceiling(1))
    }
}

/// A random time from zero to `most`.
fn jitter(most: Duration) -> Duration {
    // Without a random number the wait is the longest, which is safe.
    let share = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
    Duration::try_from_secs_f64(most.as_secs_f64() * share).unwrap_or(most).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff =
        Backoff { base: Duration::from_millis(100), most: Duration::from_secs(5) };

    #[test]
    fn ceilings_double_up_to_the_longest_wait() {
        let ceilings: Vec<_> = (1..=8).map(|retry| BACKOFF.ceiling(retry).as_millis()).collect();
        assert_eq!(ceilings, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        for retry in [32, 33, 64, u32::MAX] {
            assert_eq!(BACKOFF.ceiling(retry), BACKOFF.most);
        }
    }

    #[test]
    fn waits_fill_the_whole_range_from_nothing_to_the_ceiling() {
        let waits: Vec<_> = (0..2_000).map(|_| BACKOFF.wait(4)).collect();
        let ceiling = BACKOFF.ceiling(4);
        assert!(waits.iter().all(|wait| *wait <= ceiling));
        // The chance that no wait is in one of the tenths is about 1 in 10^91.
        for tenth in 0..10 {
            let range = ceiling * tenth / 10..=ceiling * (tenth + 1) / 10;
            assert!(waits.iter().any(|wait| range.contains(wait)), "none in {range:?}");
        }
    }

    #[test]
    fn an_endless_base_does_not_overflow() {
        let endless = Backoff { base: Duration::MAX, most: Duration::MAX };
        assert_eq!(endless.ceiling(40), Duration::MAX);
        let _ = endless.wait(40);
    }
}
