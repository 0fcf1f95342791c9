//! A rate limit for log lines that clients can cause at any rate.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::lock::lock;

/// Such a line is logged at most once in this time.
const SELDOM: Duration = Duration::from_secs(10);

/// The rate limit of one log line.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    pub(crate) fn is_due(&self) -> bool {
        let (mut last, now) = (lock(&self.0), Instant::now());
        let is_due = last.is_none_or(|last| now.duration_since(last) >= SELDOM);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}
