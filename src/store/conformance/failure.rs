//! How a check fails: what it did, what was expected, and what the store said.

use std::fmt;
use std::panic::Location;

use super::{Check, Promise};
use crate::store::StoreErrorKind;

/// A check that did not pass.
///
/// Its [`Display`](fmt::Display) names the check, the promise, the step of the check, what was
/// expected and what the store said.
#[derive(Debug, Clone)]
pub struct Failure {
    check: Check,
    flaw: Box<Flaw>,
}

/// Why a check did not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// The store broke a promise.
    Broken,
    /// The store, or the machine, was too slow to tell: take a longer unit. The store may be
    /// correct.
    Late,
    /// The store returned an error of this kind.
    Error(StoreErrorKind),
    /// The store panicked.
    Panicked,
}

impl Failure {
    pub(super) fn new(check: Check, flaw: Flaw) -> Self {
        Self { check, flaw: Box::new(flaw) }
    }

    /// The check that did not pass.
    pub fn check(&self) -> Check {
        self.check
    }

    /// The promise that the check tests; `None` for the check of the unit.
    pub fn promise(&self) -> Option<Promise> {
        self.check.promise()
    }

    /// Why it did not pass.
    pub fn kind(&self) -> FailureKind {
        self.flaw.kind
    }

    /// What the check did: an operation, and its circumstances.
    pub fn step(&self) -> &str {
        &self.flaw.step
    }

    /// The expected behavior of the store.
    pub fn expected(&self) -> &str {
        &self.flaw.expected
    }

    /// What the store said. Of a check that was too late: how late.
    pub fn said(&self) -> &str {
        &self.flaw.said
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Flaw { kind, step, expected, said, at } = &*self.flaw;
        let (what, side) = match kind {
            FailureKind::Broken => ("broke", "the store"),
            FailureKind::Late => ("was too late to judge", "too late"),
            FailureKind::Error(_) => ("got an error, and could not judge", "the store"),
            FailureKind::Panicked => ("panicked, and could not judge", "the store"),
        };
        match self.promise() {
            Some(promise) => writeln!(f, "{} {what} {promise}", self.check)?,
            None => writeln!(f, "{} failed, before any promise was tried", self.check)?,
        }
        writeln!(f, "  step:      {step}")?;
        writeln!(f, "  expected:  {expected}")?;
        writeln!(f, "  {:<10} {said}", format!("{side}:"))?;
        write!(f, "  source:    {}:{}", at.file(), at.line())
    }
}

impl std::error::Error for Failure {}

/// The result of a check, or of one step of it.
pub(super) type Checked<T = ()> = Result<T, Flaw>;

/// A step whose result was not the expected one.
#[derive(Debug, Clone)]
pub(super) struct Flaw {
    pub(super) kind: FailureKind,
    pub(super) step: String,
    pub(super) expected: String,
    pub(super) said: String,
    pub(super) at: &'static Location<'static>,
}
