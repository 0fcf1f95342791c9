//! Counts nothing: the feature `metrics` is off.

use crate::store::{PreviousAttempt, StoreErrorKind};

pub(crate) fn describe() {}

pub(crate) fn request(_: &'static str) {}

pub(crate) fn attempt(_: Option<PreviousAttempt>) {}

pub(crate) fn settled(_: &'static str, _: &'static str) {}

pub(crate) fn retried(_: &'static str, _: &'static str) {}

pub(crate) fn lease_lost(_: &'static str) {}

pub(crate) fn store_error(_: &'static str, _: StoreErrorKind) {}
