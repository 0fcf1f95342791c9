//! The unit of the run suits the store.

use std::panic::Location;

use tokio::time::Instant;

use crate::store::Store;
use crate::store::conformance::contender::{Contender, step};
use crate::store::conformance::failure::Checked;
use crate::store::conformance::told::Write;
use crate::store::conformance::trial::{Trial, UNIT};

/// How many reservations are measured; the median counts.
const ROUNDS: usize = 5;

/// An operation takes a quarter of a unit at most. With a shorter unit the other checks would say
/// nothing about the store.
pub(crate) async fn an_operation_takes_a_quarter_of_a_unit_at_most<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let mut took = Vec::new();
    // The first one may have to connect, and does not count.
    for _ in 0..=ROUNDS {
        let contender = Contender::new(trial);
        let began = Instant::now();
        let lease = contender.acquires_first().await?;
        took.push(began.elapsed());
        contender.applies(&lease, Write::Release).await?;
    }
    let measured = &mut took[1..];
    measured.sort_unstable();
    let median = measured[ROUNDS / 2];
    if median * UNIT <= trial.unit {
        return Ok(());
    }
    let step = step("reserve", format!("{ROUNDS} times, one after another"), Location::caller());
    let unit = trial.unit;
    let said = format!(
        "an operation took {median:?} at a unit of {unit:?}; take a unit of {:?} or more",
        median * UNIT
    );
    Err(step.late("an operation takes a quarter of a unit at most", said))
}
