//! How many records there are in each state.

use std::ops::AddAssign;
use std::time::Duration;

use super::{Cursor, Progress, RecordInfo, RecordState};

/// How many records there are in each state. The states are those of
/// [`RecordState::word`](super::RecordState::word); `in_doubt` counts records of several of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Attempts that run.
    pub in_flight: StateStats,
    /// Attempts that were cut off.
    pub abandoned: StateStats,
    /// Attempts that failed.
    pub failed: StateStats,
    /// Attempts that succeeded, and whose response is replayed.
    pub success: StateStats,
    /// Attempts that succeeded, and whose response cannot be replayed.
    pub not_retained: StateStats,
    /// Operations in doubt: see [`RecordInfo::is_in_doubt`](super::RecordInfo::is_in_doubt).
    pub in_doubt: StateStats,
}

/// How many records there are in one state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateStats {
    /// The number of records.
    pub count: u64,
    /// The bytes of their responses.
    pub bytes: u64,
    /// How long the record that has not changed for the longest time has been so.
    pub oldest: Option<Duration>,
}

impl StateStats {
    /// So many records.
    pub fn new(count: u64, bytes: u64, oldest: Option<Duration>) -> Self {
        Self { count, bytes, oldest }
    }
}

impl Stats {
    /// Counts one record.
    pub fn add(&mut self, info: &RecordInfo) {
        let one = StateStats::new(1, info.bytes, info.changed_ago);
        *self.of_mut(info.state) += one;
        if info.is_in_doubt() {
            self.in_doubt += one;
        }
    }

    /// The records in one state.
    pub fn of_mut(&mut self, state: RecordState) -> &mut StateStats {
        match state {
            RecordState::InFlight => &mut self.in_flight,
            RecordState::Abandoned => &mut self.abandoned,
            RecordState::Failed { .. } => &mut self.failed,
            RecordState::Success { not_retained: None, .. } => &mut self.success,
            RecordState::Success { not_retained: Some(_), .. } => &mut self.not_retained,
        }
    }
}

impl AddAssign for StateStats {
    fn add_assign(&mut self, more: Self) {
        self.count += more.count;
        self.bytes += more.bytes;
        self.oldest = self.oldest.max(more.oldest);
    }
}

impl AddAssign for Stats {
    fn add_assign(&mut self, more: Self) {
        let Self { in_flight, abandoned, failed, success, not_retained, in_doubt } = more;
        self.in_flight += in_flight;
        self.abandoned += abandoned;
        self.failed += failed;
        self.success += success;
        self.not_retained += not_retained;
        self.in_doubt += in_doubt;
    }
}

/// A part of the statistics. All parts are added up.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StatsPage {
    /// The records of this part.
    pub stats: Stats,
    /// Where the next part begins. `None`: this was the last one.
    pub next: Option<Cursor>,
    /// How far the store has come.
    pub progress: Option<Progress>,
}

impl StatsPage {
    /// A part of the statistics.
    pub fn new(stats: Stats, next: Option<Cursor>, progress: Option<Progress>) -> Self {
        Self { stats, next, progress }
    }
}
