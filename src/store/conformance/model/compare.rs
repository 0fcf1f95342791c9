//! Compares a reply with what the model expects.

use std::fmt::Debug;

use super::machine::Undecided;
use crate::store::conformance::contender::same as are_same;
use crate::store::conformance::told::told;
use crate::store::{Record, StoreError, StoreErrorKind};

/// Why a walk stops.
pub(super) enum Stop {
    Undecided,
    Differed(String),
}

impl From<Undecided> for Stop {
    fn from(_: Undecided) -> Self {
        Self::Undecided
    }
}

pub(super) fn same_record(expected: &Record, found: &Record) -> Result<(), Stop> {
    if are_same(expected, found) {
        return Ok(());
    }
    differed(&format!("to find {}", told(expected)), &format!("{} was found", told(found)))
}

pub(super) fn same<T: PartialEq + Debug>(what: &str, expected: &T, said: &T) -> Result<(), Stop> {
    if expected == said {
        return Ok(());
    }
    differed(&format!("{what} {expected:?}"), &format!("{what} {said:?}"))
}

pub(super) fn differed(expected: &str, said: &str) -> Result<(), Stop> {
    Err(Stop::Differed(format!("the model expects {expected}, the store says {said}")))
}

/// A server that a busy machine holds up says nothing about the store.
#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
pub(super) fn broken(error: StoreError) -> Stop {
    match error.kind() {
        StoreErrorKind::Unavailable | StoreErrorKind::Timeout => Stop::Undecided,
        _ => Stop::Differed(format!("the store says {error} ({error:?})")),
    }
}
