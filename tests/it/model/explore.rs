//! Draws cases, runs them, and makes one that shows a difference as short as it can be.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestCaseError, TestError, TestRunner};
use tokio::runtime::{Builder, Runtime};
use tower_idempotency::store::Store;

use super::case::{self, Answered, End};
use super::pace::Pace;
use super::steps::{self, Step};

/// A kind of store, and the clock that it lives by.
pub(super) struct Subject<S> {
    make: Arc<dyn Fn() -> S>,
    pace: Pace,
    runtime: Runtime,
    seed: RngSeed,
    /// How many cases run at the same time, and of how many steps at most.
    at_once: usize,
    longest: usize,
}

pub(super) struct Explored {
    /// How often each kind of answer was met.
    pub(super) answers: BTreeMap<Answered, usize>,
    pub(super) judged: usize,
    /// How many cases ended early, because a step came at a time about which nothing can be said.
    pub(super) undecided: usize,
}

/// How the store can be told from the model.
pub(super) struct Difference {
    pub(super) why: String,
    pub(super) steps: Vec<Step>,
}

impl<S: Store> Subject<S> {
    /// A store on tokio's clock. Each case has a store of its own and the clock for itself.
    pub(super) fn paused(make: impl Fn() -> S + 'static) -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let pace = Pace::Paused;
        Self { make: Arc::new(make), pace, runtime, seed: RngSeed::Random, at_once: 1, longest: 40 }
    }

    /// A store on a clock of its own. Many cases share it, so that waiting costs little.
    pub(super) fn real(make: impl Fn() -> S + 'static) -> Self {
        let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
        let pace = Pace::REAL;
        Self { make: Arc::new(make), pace, runtime, seed: RngSeed::Random, at_once: 100, longest: 25 }
    }

    /// Draws the same cases each time.
    pub(super) fn with_seed(self, seed: u64) -> Self {
        Self { seed: RngSeed::Fixed(seed), ..self }
    }

    /// Runs until so many cases were judged to their end, or a difference is found, or it is plain that most cases cannot
    /// be judged.
    pub(super) fn explore(&self, cases: usize) -> Result<Explored, Difference> {
        let mut runner = TestRunner::new(Config {
            failure_persistence: None,
            max_shrink_iters: 10_000,
            max_shrink_time: 60_000,
            rng_seed: self.seed,
            // Each choice has a generator of its own, and those of the default are slow to make.
            rng_algorithm: RngAlgorithm::XorShift,
            ..Config::default()
        });
        let sequences = steps::sequences(self.longest);
        let mut explored = Explored { answers: BTreeMap::new(), judged: 0, undecided: 0 };
        let mut pace = self.pace;
        while explored.judged < cases && explored.undecided <= cases {
            let count = self.at_once.min(cases - explored.judged);
            let trees: Vec<_> = (0..count).map(|_| sequences.new_tree(&mut runner).unwrap()).collect();
            let ends = self.run_all(pace, trees.iter().map(ValueTree::current));
            let undecided = ends.iter().filter(|end| matches!(end, End::Undecided)).count();
            if undecided * 5 > count {
                pace = pace.slower();
            }
            explored.undecided += undecided;
            explored.judged += count - undecided;
            for (tree, end) in trees.into_iter().zip(ends) {
                match end {
                    End::Agreed(answers) => {
                        for answer in answers {
                            *explored.answers.entry(answer).or_default() += 1;
                        }
                    }
                    End::Undecided => {}
                    End::Differed(why) => return Err(self.simplest(&mut runner, pace, tree, &why)),
                }
            }
        }
        Ok(explored)
    }

    fn run_all(&self, pace: Pace, cases: impl Iterator<Item = Vec<Step>>) -> Vec<End> {
        self.runtime.block_on(async {
            let runs: Vec<_> =
                cases.map(|steps| tokio::spawn(case::run((self.make)(), pace, steps))).collect();
            let mut ends = Vec::new();
            for run in runs {
                ends.push(run.await.unwrap());
            }
            ends
        })
    }

    fn simplest(
        &self,
        runner: &mut TestRunner,
        pace: Pace,
        tree: impl ValueTree<Value = Vec<Step>>,
        why: &str,
    ) -> Difference {
        let drawn = tree.current();
        let alone = runner.run_one(tree, |steps| match self.difference(pace, &steps) {
            Some(why) => Err(TestCaseError::fail(why)),
            None => Ok(()),
        });
        match alone {
            Err(TestError::Fail(why, steps)) => {
                self.without_needless_steps(pace, Difference { why: why.message().to_owned(), steps })
            }
            _ => Difference { why: format!("{why} (and not when run alone)"), steps: drawn },
        }
    }

    /// Some steps can be left out only after others were made simpler.
    fn without_needless_steps(&self, pace: Pace, mut found: Difference) -> Difference {
        let mut step = 0;
        while step < found.steps.len() {
            let mut steps = found.steps.clone();
            steps.remove(step);
            if let Some(why) = self.difference(pace, &steps) {
                found = Difference { why, steps };
                step = 0;
            } else {
                step += 1;
            }
        }
        found
    }

    fn difference(&self, pace: Pace, steps: &[Step]) -> Option<String> {
        match self.runtime.block_on(case::run((self.make)(), pace, steps.to_vec())) {
            End::Differed(why) => Some(why),
            End::Agreed(_) | End::Undecided => None,
        }
    }
}
