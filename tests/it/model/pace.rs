//! How a case's time passes: exactly, or by a clock that nobody holds.

use std::time::Duration;

use tokio::time::Instant;

use super::machine::When;
use super::steps::Ticks;

#[derive(Clone, Copy)]
pub(super) enum Pace {
    /// On tokio's clock, paused: every time is exact, and many a look falls on the very end of a lease.
    Paused,
    /// On a real clock: everything ends half a tick away from where the steps are, so that it does not matter when
    /// exactly a step is made.
    Real { tick: Duration },
}

/// A tick of the real clock, and how long it becomes on a machine too busy for that.
const TICK: Duration = Duration::from_millis(40);
const LONGEST_TICK: Duration = Duration::from_millis(320);

/// By how much the store's clock, read in whole milliseconds, may be off from ours.
const SLACK: Duration = Duration::from_millis(2);

impl Pace {
    pub(super) const REAL: Self = Self::Real { tick: TICK };

    /// The pace to go on at when too many steps came at a time about which nothing can be said.
    pub(super) fn slower(self) -> Self {
        match self {
            Self::Paused => Self::Paused,
            Self::Real { tick } => Self::Real { tick: LONGEST_TICK.min(tick * 2) },
        }
    }

    /// What a store is told.
    pub(super) fn duration(self, ticks: Ticks) -> Duration {
        match (ticks, self) {
            (Ticks::SHORTEST, _) => Duration::from_millis(1),
            (Ticks::FOR_EVER, _) => Duration::MAX,
            // Twice a step's length, so that steps fall before, upon and after it.
            (Ticks(ticks), Self::Paused) => Duration::from_millis(2 * u64::from(ticks)),
            (Ticks(ticks), Self::Real { tick }) => tick * u32::from(ticks - 1) + tick / 2,
        }
    }

    /// Lets time pass from `passed` ticks after `start` to so many more.
    pub(super) async fn pass(self, start: Instant, passed: u32, more: u32) {
        match self {
            Self::Paused => tokio::time::advance(Duration::from_millis(more.into())).await,
            // Not from now on, or delays would add up until they mattered.
            Self::Real { tick } => tokio::time::sleep_until(start + tick * (passed + more)).await,
        }
    }

    /// The time of something that began and ended so long after the start of the case.
    pub(super) fn when(self, began: Duration, ended: Duration) -> When {
        match self {
            Self::Paused => When { earliest: began, latest: ended },
            Self::Real { .. } => When { earliest: began.saturating_sub(SLACK), latest: ended + SLACK },
        }
    }

    /// Whether it cannot be told, right after a write, if the shortest time has passed.
    pub(super) fn needs_a_tick_after_the_shortest(self) -> bool {
        matches!(self, Self::Real { .. })
    }
}
