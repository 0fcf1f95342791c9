//! Fields of features. Without the feature, the error names it.

use serde::de::{Deserialize, Deserializer, Error};

pub(super) fn compression<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    with_feature(deserializer, "compression", cfg!(feature = "compression"))
}

pub(super) fn quota<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    with_feature(deserializer, "quota", cfg!(feature = "quota"))
}

pub(super) fn strict_keys<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    with_feature(deserializer, "strict-keys", cfg!(feature = "strict-keys"))
}

fn with_feature<'de, D, T>(
    deserializer: D,
    feature: &str,
    is_on: bool,
) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let value = Option::deserialize(deserializer)?;
    if value.is_some() && !is_on {
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
        serde_json::from_str::<Settings>(r#"{"compress_above": null}"#).unwrap();
    }
}
