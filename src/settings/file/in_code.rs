//! Setters that are not fields: their values are code, a secret, or a contract with clients.

use serde::de::{Deserialize, Deserializer, Error};

use super::{Fields, Settings};

/// The setters that a writer of a file may take for fields.
pub(crate) const IN_CODE: [&str; 13] = [
    "classify",
    "encrypt",
    "fingerprint",
    "ietf",
    "label_records_with",
    "legacy_fingerprint",
    "link_traces",
    "on_event",
    "quota",
    "rejection_response",
    "scope",
    "secret",
    "stripe",
];

/// Serde knows only that such a field is unknown.
impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Fields::deserialize(deserializer).map(Self).map_err(|error| {
            let text = error.to_string();
            let is_named = |name: &&&str| text.contains(&format!("unknown field `{name}`, "));
            match IN_CODE.iter().find(is_named) {
                Some(name) => D::Error::custom(format_args!(
                    "`{name}` is not a field: set it in code, by `IdempotencyLayer::{name}`"
                )),
                None => error,
            }
        })
    }
}
