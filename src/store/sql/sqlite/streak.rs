//! How a process that writes without a break lets others write in between.
//!
//! The next operation of a process takes the file within microseconds. Another process that tries
//! every few milliseconds would mostly find it taken. So after a while the process leaves the file
//! free, until each of the others has tried at least once. An operation waits for the file no
//! longer than one such period for each other process, and for the running transactions.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::runtime::lock::lock;

/// How long a process takes the file again and again before it leaves it free, if no transaction is
/// longer.
const LONGEST: Duration = Duration::from_millis(100);

/// How long it then leaves the file free: long enough for a process whose pauses are late.
const GAP: Duration = Duration::from_millis(6);

/// How long this process has had the file without a gap.
pub(super) struct Streak(Mutex<Span>);

struct Span {
    since: Instant,
    until: Instant,
}

impl Streak {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self(Mutex::new(Span { since: now, until: now }))
    }

    /// Leaves the file free for others, if this process had it for long and has just given it back.
    pub(super) async fn leave_gap(&self) {
        let left = {
            let span = lock(&self.0);
            let is_long = span.until.saturating_duration_since(span.since) >= LONGEST;
            GAP.checked_sub(span.until.elapsed()).filter(|_| is_long)
        };
        if let Some(left) = left {
            sleep(left).await;
        }
    }

    /// This process has had the file since then.
    pub(super) fn taken(&self, since: Instant) {
        let mut span = lock(&self.0);
        if since.saturating_duration_since(span.until) >= GAP {
            span.since = since;
        }
        span.until = Instant::now();
    }

    /// The file is free again.
    pub(super) fn freed(&self) {
        lock(&self.0).until = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pause_after(streak: &Streak) -> Duration {
        let begun = Instant::now();
        streak.leave_gap().await;
        begun.elapsed()
    }

    /// Writes of so many milliseconds, without a break.
    async fn write(streak: &Streak, writes: u32, millis: u64) {
        for _ in 0..writes {
            let begun = Instant::now();
            sleep(Duration::from_millis(millis)).await;
            streak.taken(begun);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_gap_comes_after_a_streak_of_short_writes_or_one_that_is_long() {
        let streak = Streak::new();
        for (writes, millis) in [(50, 2), (10, 10), (1, 100)] {
            write(&streak, writes, millis).await;
            assert_eq!(pause_after(&streak).await, GAP, "{writes} writes of {millis} ms");
            assert_eq!(pause_after(&streak).await, Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_rests_by_itself_leaves_no_gap() {
        let streak = Streak::new();
        for _ in 0..20 {
            write(&streak, 5, 10).await;
            assert_eq!(pause_after(&streak).await, Duration::ZERO);
            sleep(GAP).await;
        }
        write(&streak, 20, 10).await;
        sleep(GAP / 3).await;
        assert_eq!(pause_after(&streak).await, GAP / 3 * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_counts_until_it_is_over() {
        let streak = Streak::new();
        streak.taken(Instant::now());
        sleep(LONGEST).await;
        streak.freed();
        assert_eq!(pause_after(&streak).await, GAP);
    }
}
