//! Random walks: sequences of operations on a store, each reply compared with a model's.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::together;
use crate::store::Store;

mod case;
mod compare;
mod draw;
mod given;
mod machine;
mod pace;
mod shrink;
mod steps;

use case::End;
use pace::Pace;

/// Random sequences of operations on a store, each reply compared with the reply of a model of the
/// promises.
///
/// Each walk has keys of its own, and removes what it can at its end. A success stays for a minute
/// at most.
///
/// It finds what no check was written for. A failure shows the fewest steps that lead to it, and
/// the seed that draws them again.
///
/// ```
/// use tower_idempotency::MemoryStore;
/// use tower_idempotency::store::conformance::RandomWalk;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// tokio::time::pause();
/// RandomWalk::new().walks(50).run_paused(&MemoryStore::new()).await.unwrap();
/// # })
/// ```
#[derive(Debug, Clone)]
pub struct RandomWalk {
    seed: u64,
    walks: usize,
    steps: usize,
    at_once: usize,
}

/// What a [`RandomWalk`] met where the store and the model agreed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Walked {
    /// The walks that were compared to their end.
    pub walks: usize,
    /// The walks that were cut short: a step was too late to tell what the store should reply, or
    /// the store was out of reach.
    pub cut_short: usize,
    /// How often each kind of reply came.
    pub replies: BTreeMap<&'static str, usize>,
}

/// Why a [`RandomWalk`] failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum WalkError {
    /// The store and the model differ.
    Differs(Difference),
    /// More walks were cut short than were asked for: take a longer tick.
    Late(Walked),
}

/// How a store differs from the model.
#[derive(Debug, Clone)]
pub struct Difference {
    seed: u64,
    why: String,
    steps: Vec<String>,
}

impl RandomWalk {
    /// 400 walks of at most 25 steps, 50 of them side by side, from a seed that differs each time.
    pub fn new() -> Self {
        Self { seed: RandomState::new().hash_one(0), walks: 400, steps: 25, at_once: 50 }
    }

    /// Sets the seed of the first walk; each further walk has the next number. Default: random.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Sets how many walks are compared. Default: 400.
    #[must_use]
    pub fn walks(self, walks: usize) -> Self {
        Self { walks, ..self }
    }

    /// Sets the most steps of a walk. Default: 25.
    #[must_use]
    pub fn steps(self, steps: usize) -> Self {
        Self { steps: steps.max(1), ..self }
    }

    /// Sets how many walks run side by side. Default: 50. Take fewer for a store that is slow when
    /// it is busy.
    #[must_use]
    pub fn at_once(self, walks: usize) -> Self {
        Self { at_once: walks.max(1), ..self }
    }

    /// Walks on a store with a clock of its own.
    ///
    /// Steps are whole ticks apart, and everything ends half a tick away from them. Take a tick of
    /// ten operations, and no less than 40 ms. If many steps are late the tick grows, up to eight
    /// times.
    ///
    /// # Errors
    ///
    /// [`WalkError`] says how the store differs from the model, or that too many steps were late.
    pub async fn run<S: Store>(&self, store: &S, tick: Duration) -> Result<Walked, WalkError> {
        self.explore(store, Pace::Real { tick }, tick).await
    }

    /// Walks on a store that judges times by tokio's clock, which is paused. Each step is a
    /// millisecond, and many are at the very end of a lease or a retention.
    ///
    /// # Errors
    ///
    /// [`WalkError`] says how the store differs from the model.
    pub async fn run_paused<S: Store>(&self, store: &S) -> Result<Walked, WalkError> {
        self.explore(store, Pace::Paused, Duration::ZERO).await
    }

    async fn explore<S: Store>(
        &self,
        store: &S,
        mut pace: Pace,
        tick: Duration,
    ) -> Result<Walked, WalkError> {
        let mut walked = Walked { walks: 0, cut_short: 0, replies: BTreeMap::new() };
        let mut seed = self.seed;
        while walked.walks < self.walks {
            if walked.cut_short > self.walks {
                return Err(WalkError::Late(walked));
            }
            let count = self.at_once.min(self.walks - walked.walks);
            let drawn: Vec<_> =
                std::iter::successors(Some(seed), |seed| Some(seed.wrapping_add(1)))
                    .take(count)
                    .map(|seed| (seed, steps::sequence(seed, self.steps)))
                    .collect();
            seed = drawn.last().map_or(seed, |(last, _)| last.wrapping_add(1));
            let ends =
                together::all(drawn.iter().map(|(_, steps)| case::run(store, pace, steps))).await;
            let cut_short = ends.iter().filter(|end| matches!(end, End::CutShort)).count();
            walked.cut_short += cut_short;
            walked.walks += count - cut_short;
            for ((seed, steps), end) in drawn.into_iter().zip(ends) {
                match end {
                    End::Agreed(replies) => {
                        for reply in replies {
                            *walked.replies.entry(reply).or_default() += 1;
                        }
                    }
                    End::CutShort => {}
                    End::Differed { at, why } => {
                        let (steps, why) = shrink::simplest(store, pace, steps, at, why).await;
                        let steps = steps.iter().map(|step| format!("{step:?}")).collect();
                        return Err(WalkError::Differs(Difference { seed, why, steps }));
                    }
                }
            }
            if cut_short * 5 > count {
                pace = pace.slower(tick);
            }
        }
        Ok(walked)
    }
}

impl Default for RandomWalk {
    fn default() -> Self {
        Self::new()
    }
}

impl Walked {
    /// Every kind of reply that a walk may meet.
    pub const REPLIES: [&'static str; 11] = case::REPLIES;
}

impl Difference {
    /// The seed that draws this walk first.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The fewest steps that were found to lead to the difference.
    pub fn steps(&self) -> &[String] {
        &self.steps
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the store differs from the model (seed {}):", self.seed)?;
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "  {number}: {step}")?;
        }
        write!(f, "{}", self.why)
    }
}

impl fmt::Display for WalkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs(difference) => difference.fmt(f),
            Self::Late(Walked { walks, cut_short, .. }) => write!(
                f,
                "{cut_short} walks were cut short and {walks} were not, because steps were late or the store was \
                 out of reach; take a longer tick"
            ),
        }
    }
}

impl std::error::Error for WalkError {}
