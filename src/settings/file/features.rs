//! Fields of features. Without the feature, the error names it.

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use crate::http::response::StoredResponse;

pub(super) fn compression<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    with_feature(deserializer, "compression", cfg!(feature = "compression"), |_| true)
}

pub(super) fn quota<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    with_feature(deserializer, "quota", cfg!(feature = "quota"), |_| true)
}

/// `false` is what every layer does, so it needs no feature.
pub(super) fn strict_keys<'de, D>(deserializer: D) -> Result<Option<bool>, D::Error>
where
    D: Deserializer<'de>,
{
    with_feature(deserializer, "strict-keys", cfg!(feature = "strict-keys"), |is_on| *is_on)
}

pub(super) fn stored_response<'de, D>(deserializer: D) -> Result<Option<StoredResponse>, D::Error>
where
    D: Deserializer<'de>,
{
    let is_digest = |level: &Level| matches!(level, Level::Digest);
    let level =
        with_feature(deserializer, "repr-digest", cfg!(feature = "repr-digest"), is_digest)?;
    Ok(level.map(|level| match level {
        Level::Full => StoredResponse::Full,
        Level::Status => StoredResponse::Status,
        #[cfg(feature = "repr-digest")]
        Level::Digest => StoredResponse::Digest,
        // Without its feature it was an error.
        #[cfg(not(feature = "repr-digest"))]
        Level::Digest => StoredResponse::Status,
        Level::Nothing => StoredResponse::Nothing,
    }))
}

/// Every [`StoredResponse`], with each feature or without.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Full,
    Status,
    Digest,
    Nothing,
}

fn with_feature<'de, D, T>(
    deserializer: D,
    feature: &str,
    is_on: bool,
    needs_it: impl FnOnce(&T) -> bool,
) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let value: Option<T> = Option::deserialize(deserializer)?;
    if value.as_ref().is_some_and(needs_it) && !is_on {
        return Err(D::Error::custom(format_args!(
            "this setting needs the feature `{feature}` of tower-idempotency"
        )));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::settings::Settings;

    #[test]
    fn a_setting_without_its_feature_is_an_error_that_names_the_feature() {
        let fields = [
            (r#"{"compress_above": "1KiB"}"#, "compression", cfg!(feature = "compression")),
            (r#"{"new_keys_per_minute": 600}"#, "quota", cfg!(feature = "quota")),
            (r#"{"strict_keys": true}"#, "strict-keys", cfg!(feature = "strict-keys")),
            (r#"{"stored_response": "digest"}"#, "repr-digest", cfg!(feature = "repr-digest")),
        ];
        for (json, feature, is_on) in fields {
            match serde_json::from_str::<Settings>(json) {
                Ok(_) => assert!(is_on, "{json}"),
                Err(error) => {
                    assert!(!is_on, "{error}");
                    assert!(error.to_string().contains(&format!("the feature `{feature}`")));
                }
            }
        }
        for json in [
            r#"{"compress_above": null}"#,
            r#"{"strict_keys": false}"#,
            r#"{"stored_response": "full"}"#,
        ] {
            serde_json::from_str::<Settings>(json).unwrap();
        }
    }
}
