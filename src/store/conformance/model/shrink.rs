//! Makes a walk that shows a difference as short and simple as possible.

use super::case::{self, End};
use super::pace::Pace;
use super::steps::Step;
use crate::store::Store;
use crate::store::conformance::together;

/// How many rounds of shorter walks are tried, each side by side.
const ROUNDS: usize = 100;

/// The fewest and simplest steps that lead to a difference, and the difference.
pub(super) async fn simplest<S: Store>(
    store: &S,
    pace: Pace,
    mut steps: Vec<Step>,
    at: usize,
    mut why: String,
) -> (Vec<Step>, String) {
    // The steps after it cannot matter.
    steps.truncate(at + 1);
    if differences(store, pace, std::slice::from_ref(&steps)).await[0].is_none() {
        return (steps, format!("{why}\n(and not when these steps ran again)"));
    }
    for _ in 0..ROUNDS {
        let candidates: Vec<_> = shorter(&steps).into_iter().chain(simpler(&steps)).collect();
        let found = differences(store, pace, &candidates).await;
        let found = candidates.into_iter().zip(found).find_map(|(steps, why)| Some((steps, why?)));
        match found {
            Some(found) => (steps, why) = found,
            None => break,
        }
    }
    (steps, why)
}

/// The steps without one half, without a quarter, and so on down to one step.
fn shorter(steps: &[Step]) -> Vec<Vec<Step>> {
    let sizes = std::iter::successors(Some(steps.len() / 2), |size| Some(size / 2));
    let sizes = sizes.take_while(|size| *size > 0);
    sizes
        .flat_map(|size| (0..steps.len()).step_by(size).map(move |from| (from, size)))
        .map(|(from, size)| {
            let (before, rest) = steps.split_at(from);
            [before, rest.get(size..).unwrap_or(&[])].concat()
        })
        .collect()
}

/// The steps with one thing simpler.
fn simpler(steps: &[Step]) -> Vec<Vec<Step>> {
    let one = |(index, step): (usize, &Step)| {
        let steps = steps.to_vec();
        step.simpler().into_iter().map(move |step| {
            let mut steps = steps.clone();
            steps[index] = step;
            steps
        })
    };
    steps.iter().enumerate().flat_map(one).collect()
}

async fn differences<S: Store>(
    store: &S,
    pace: Pace,
    candidates: &[Vec<Step>],
) -> Vec<Option<String>> {
    let runs = candidates.iter().map(|steps| case::run(store, pace, steps));
    let ends = together::all(runs).await;
    ends.into_iter()
        .map(|end| match end {
            End::Differed { why, .. } => Some(why),
            End::Agreed(_) | End::CutShort => None,
        })
        .collect()
}
