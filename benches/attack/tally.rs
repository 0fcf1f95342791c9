//! The results of requests, and their durations.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::client::{Reply, SERVED};

#[derive(Default)]
pub(crate) struct Tally {
    replies: BTreeMap<Reply, usize>,
    took: Vec<Duration>,
}

impl Tally {
    pub(crate) fn add(&mut self, reply: Reply, took: Duration) {
        *self.replies.entry(reply).or_default() += 1;
        self.took.push(took);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (reply, count) in other.replies {
            *self.replies.entry(reply).or_default() += count;
        }
        self.took.extend(other.took);
    }

    pub(crate) fn requests(&self) -> usize {
        self.took.len()
    }

    /// The number of requests that were not served.
    pub(crate) fn rejected(&self) -> usize {
        self.replies.iter().filter(|(reply, _)| *reply != SERVED).map(|(_, count)| count).sum()
    }

    /// The time within which this share of the requests ended.
    pub(crate) fn within(&self, percent: usize) -> Duration {
        let mut took = self.took.clone();
        took.sort_unstable();
        let place = (took.len() * percent).div_ceil(100).max(1) - 1;
        took.get(place).copied().unwrap_or_default()
    }

    /// For example `201: 580, 503 idempotency_store_unavailable: 20`.
    pub(crate) fn replies(&self) -> String {
        let mut text = String::new();
        for (index, (reply, count)) in self.replies.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(text, "{comma}{reply}: {count}").unwrap();
        }
        text
    }
}
