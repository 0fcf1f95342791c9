//! Counts nothing: the feature `metrics` is off.

use std::sync::Arc;

use tokio::time::Instant;

use crate::record::label::RecordLabel;
use crate::store::{PreviousAttempt, StoreErrorKind};

pub(crate) type Label<'a> = Option<&'a Arc<RecordLabel>>;

#[derive(Clone, Copy)]
pub(crate) struct Began;

pub(crate) fn begins() -> Began {
    Began
}

impl Began {
    pub(crate) fn at(_: Instant) -> Self {
        Self
    }
}

pub(crate) fn describe() {}

pub(crate) fn request(_: Label<'_>, _: &'static str) {}

pub(crate) fn attempt(_: Label<'_>, _: Option<PreviousAttempt>) {}

pub(crate) fn settled(_: Label<'_>, _: &'static str, _: &'static str) {}

pub(crate) fn retried(_: Label<'_>, _: &'static str, _: &'static str) {}

pub(crate) fn lease_lost(_: Label<'_>, _: &'static str) {}

pub(crate) fn store_error(_: Label<'_>, _: &'static str, _: StoreErrorKind) {}

pub(crate) fn event_lost() {}

pub(crate) fn store_took(_: Label<'_>, _: &'static str, _: Began) {}

pub(crate) fn handler_took(_: Label<'_>, _: Began) {}

pub(crate) fn waited(_: Label<'_>, _: Began) {}
