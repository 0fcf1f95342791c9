//! Counts nothing: the feature `metrics` is off.

use crate::store::{ErrorKind, Previous};

pub(crate) fn request(_: &'static str) {}

pub(crate) fn attempt(_: Option<Previous>) {}

pub(crate) fn settled(_: &'static str, _: &'static str) {}

pub(crate) fn repeated(_: &'static str, _: &'static str) {}

pub(crate) fn lease_lost(_: &'static str) {}

pub(crate) fn store_error(_: &'static str, _: ErrorKind) {}
