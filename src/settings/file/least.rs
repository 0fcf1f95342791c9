//! Fields whose smallest values would switch a part of the layer off. They are errors that name the
//! field and its least value.

use std::fmt::Display;
use std::time::Duration;

use http::{HeaderName, Method};
use serde::de::{Deserialize, Deserializer, Error};

use super::AsText;
use crate::settings::least::{LEASE, RETENTION, TIMEOUT};

/// A field named as the function, which is at least this value.
macro_rules! at_least {
    ($($field:ident: $type:ty = $least:expr,)*) => {$(
        pub(super) fn $field<'de, D>(deserializer: D) -> Result<Option<$type>, D::Error>
        where
            D: Deserializer<'de>,
        {
            at_least(deserializer, stringify!($field), &$least)
        }
    )*};
}

at_least! {
    body_timeout: AsText<Duration> = AsText(TIMEOUT),
    capture_timeout: AsText<Duration> = AsText(TIMEOUT),
    lease: AsText<Duration> = AsText(LEASE),
    max_in_flight: usize = 1,
    max_request: AsText<usize> = AsText(1),
    max_response: AsText<usize> = AsText(1),
    retention: AsText<Duration> = AsText(RETENTION),
    store_timeout: AsText<Duration> = AsText(TIMEOUT),
}

pub(super) fn headers<'de, D>(deserializer: D) -> Result<Option<Vec<AsText<HeaderName>>>, D::Error>
where
    D: Deserializer<'de>,
{
    not_empty(deserializer, "headers")
}

pub(super) fn methods<'de, D>(deserializer: D) -> Result<Option<Vec<AsText<Method>>>, D::Error>
where
    D: Deserializer<'de>,
{
    not_empty(deserializer, "methods")
}

fn at_least<'de, D, T>(deserializer: D, field: &str, least: &T) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + PartialOrd + Display,
{
    match Option::<T>::deserialize(deserializer)? {
        Some(value) if value < *least => {
            Err(D::Error::custom(format_args!("`{field}` is {value}, and must be {least} or more")))
        }
        value => Ok(value),
    }
}

fn not_empty<'de, D, T>(deserializer: D, field: &str) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    match Option::<Vec<T>>::deserialize(deserializer)? {
        Some(values) if values.is_empty() => {
            Err(D::Error::custom(format_args!("`{field}` is empty, and must have 1 entry or more")))
        }
        values => Ok(values),
    }
}
