//! Random numbers that are the same for the same seed.

/// `SplitMix64`: small, and good enough to draw steps with.
pub(super) struct Draw(u64);

impl Draw {
    pub(super) fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `least` up to and with `most`.
    pub(super) fn between(&mut self, least: u8, most: u8) -> u8 {
        let span = u64::from(most.saturating_sub(least)) + 1;
        least + u8::try_from(self.next() % span).unwrap_or(0)
    }

    /// Below `bound`, which is not 0.
    pub(super) fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap_or(0)
    }

    pub(super) fn is_heads(&mut self) -> bool {
        self.next().is_multiple_of(2)
    }

    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// The index of a weight, drawn the more often the greater the weight is.
    pub(super) fn weighted<const N: usize>(&mut self, weights: [usize; N]) -> usize {
        let mut drawn = self.index(weights.iter().sum());
        weights
            .iter()
            .position(|weight| match drawn.checked_sub(*weight) {
                Some(left) => {
                    drawn = left;
                    false
                }
                None => true,
            })
            .unwrap_or(0)
    }
}
