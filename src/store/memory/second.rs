//! Seconds of the memory store's clock, in which it counts and queues what expires.

use std::time::Duration;

/// A time since the store was made, rounded up. No process lives to the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Second(u32);

impl Second {
    pub(super) fn of(time: Duration) -> Self {
        let up = u64::from(time.subsec_nanos() > 0);
        Self(u32::try_from(time.as_secs().saturating_add(up)).unwrap_or(u32::MAX))
    }

    pub(super) fn time(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}
