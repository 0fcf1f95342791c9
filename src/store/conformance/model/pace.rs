//! How the time of a walk passes: exactly, or by a clock that nothing holds.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::machine::When;
use super::steps::Ticks;

#[derive(Clone, Copy)]
pub(super) enum Pace {
    /// On tokio's clock, paused: every time is exact, and many a look is at the very end of a
    /// lease.
    Paused,
    /// On a real clock: everything ends half a tick away from the steps, so the exact time of a
    /// step does not matter.
    Real { tick: Duration },
}

/// How many times its length a tick may become where steps are late.
const LONGEST: u32 = 8;

/// How far a store's clock, read in whole milliseconds, may be off.
const SLACK: Duration = Duration::from_millis(2);

impl Pace {
    /// The pace to go on at when too many steps were late.
    pub(super) fn slower(self, first: Duration) -> Self {
        match self {
            Self::Paused => Self::Paused,
            Self::Real { tick } => Self::Real { tick: (first * LONGEST).min(tick * 2) },
        }
    }

    /// What a store is told.
    pub(super) fn duration(self, ticks: Ticks) -> Duration {
        match (ticks, self) {
            (Ticks::SHORTEST, _) => Duration::from_millis(1),
            (Ticks::FOR_EVER, _) => Duration::MAX,
            // Twice the length of a step, so that steps are before, at and after it.
            (Ticks(ticks), Self::Paused) => Duration::from_millis(2 * u64::from(ticks)),
            (Ticks(ticks), Self::Real { tick }) => tick * u32::from(ticks - 1) + tick / 2,
        }
    }

    /// Lets time pass until so many ticks after `start`.
    pub(super) async fn pass(self, start: Instant, ticks: u32) {
        let tick = match self {
            Self::Paused => Duration::from_millis(1),
            Self::Real { tick } => tick,
        };
        // Not from now on, or delays would add up until they mattered.
        sleep_until(start + tick * ticks).await;
    }

    /// The time of something that began and ended so long after the start of the walk.
    pub(super) fn when(self, began: Duration, ended: Duration) -> When {
        match self {
            Self::Paused => When { earliest: began, latest: ended },
            Self::Real { .. } => {
                When { earliest: began.saturating_sub(SLACK), latest: ended + SLACK }
            }
        }
    }

    /// Whether the shortest time may or may not have passed right after a write.
    pub(super) fn needs_a_tick_after_the_shortest(self) -> bool {
        matches!(self, Self::Real { .. })
    }
}
