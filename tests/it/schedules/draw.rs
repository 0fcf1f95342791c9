//! Random numbers that are the same for the same seed.

use std::time::Duration;

/// `SplitMix64`: small, and good enough to choose faults with.
#[derive(Clone)]
pub(super) struct Draw(u64);

impl Draw {
    pub(super) fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// Numbers of their own for one part of the schedule, so that a change in one part leaves the others as they are.
    pub(super) fn part(&self, name: &str) -> Self {
        let mixed = name.bytes().fold(self.0, |mixed, byte| Self(mixed ^ u64::from(byte)).next());
        Self(mixed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `least` up to and with `most`.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    pub(super) fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.between(least, most))
    }

    /// Below `bound`.
    pub(super) fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }
}
