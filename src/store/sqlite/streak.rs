//! How a process that writes without a break lets others write in between.
//!
//! The next operation of a process takes the file within microseconds, so another process that tries every few
//! milliseconds would mostly find it taken. After a while the process therefore leaves the file free, for so long that
//! each of the others tries at least once. An operation waits for the file no longer than one such while for each other
//! process, and the transactions that run.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::mutex::held;

/// How long a process takes the file again and again before it leaves it free, if no transaction is longer.
const LONGEST: Duration = Duration::from_millis(100);

/// How long it then leaves the file free: long enough for a process whose pauses are late.
const GAP: Duration = Duration::from_millis(6);

/// How long this process has had the file without a gap.
pub(super) struct Streak(Mutex<Held>);

struct Held {
    since: Instant,
    until: Instant,
}

impl Streak {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self(Mutex::new(Held { since: now, until: now }))
    }

    /// Leaves the file free for others, if this process had it for long and has just given it back.
    pub(super) async fn leave_gap(&self) {
        let left = {
            let held = held(&self.0);
            let is_long = held.until - held.since >= LONGEST;
            GAP.checked_sub(held.until.elapsed()).filter(|_| is_long)
        };
        if let Some(left) = left {
            sleep(left).await;
        }
    }

    /// This process has the file from now on.
    pub(super) fn taken(&self) {
        let (now, mut held) = (Instant::now(), held(&self.0));
        if now - held.until >= GAP {
            held.since = now;
        }
        held.until = now;
    }

    /// The file is free again.
    pub(super) fn freed(&self) {
        held(&self.0).until = Instant::now();
    }
}
