//! Compares the clock of a server with that of this process.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{CLOCK, CheckItem};

/// How far the clock of a server may be from that of this process.
const SLACK: Duration = Duration::from_mins(1);

/// Compares a server's time, as the time since the Unix epoch, with that of this process.
pub(in crate::store) fn compare(server: Duration) -> CheckItem {
    let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let apart = server.abs_diff(here);
    CLOCK.found(apart <= SLACK, format!("{} ms from the clock of this process", apart.as_millis()))
}
