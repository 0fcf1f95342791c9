//! The result of a run of all checks.

use std::fmt;
use std::time::Duration;

use super::check::Measured;
use super::trial::Slowest;
use super::{Check, Failure, FailureKind};

/// The result of a [run](super::run). Its [`Display`](fmt::Display) lists every failure.
#[derive(Debug, Clone)]
#[must_use = "a report may contain failures"]
pub struct Report {
    unit: Duration,
    passed: Vec<Check>,
    failures: Vec<Failure>,
    not_run: Vec<Check>,
    slowest: Slowest,
}

impl Report {
    pub(super) fn new(unit: Duration) -> Self {
        let (passed, failures, not_run) = Default::default();
        Self { unit, passed, failures, not_run, slowest: Slowest::default() }
    }

    pub(super) fn add(&mut self, check: Check, result: Result<(), Failure>, slowest: Slowest) {
        match result {
            Ok(()) => self.passed.push(check),
            Err(failure) => self.failures.push(failure),
        }
        self.slowest = self.slowest.max(slowest);
    }

    /// The check, if it was too late to judge the store: it is then to run again.
    pub(super) fn add_unless_late(&mut self, measured: Measured) -> Option<Check> {
        match measured {
            (check, Err(failure), slowest) if failure.kind() == FailureKind::Late => {
                self.slowest = self.slowest.max(slowest);
                Some(check)
            }
            (check, result, slowest) => {
                self.add(check, result, slowest);
                None
            }
        }
    }

    pub(super) fn did_not_run(&mut self, checks: impl Iterator<Item = Check>) {
        self.not_run.extend(checks);
    }

    /// The checks that passed.
    pub fn passed(&self) -> &[Check] {
        &self.passed
    }

    /// The checks that did not pass, each with its reason.
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// The checks that did not run, because the store is too slow for the unit.
    pub fn not_run(&self) -> &[Check] {
        &self.not_run
    }

    /// How long the slowest operation took.
    pub fn slowest(&self) -> Duration {
        self.slowest.took
    }

    /// Whether all checks ran and passed.
    pub fn is_success(&self) -> bool {
        self.failures.is_empty() && self.not_run.is_empty()
    }

    /// Asserts that all checks ran and passed.
    ///
    /// # Panics
    ///
    /// With the whole report, if one did not.
    #[track_caller]
    pub fn assert_success(&self) {
        assert!(self.is_success(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unit, passed, failures, not_run, slowest } = self;
        let [passed, failed, not_run] = [passed.len(), failures.len(), not_run.len()];
        write!(
            f,
            "{passed} checks passed, {failed} failed, {not_run} did not run; {slowest} at a unit of {unit:?}"
        )?;
        failures.iter().try_for_each(|failure| write!(f, "\n\n{failure}"))
    }
}
