//! Settings of features. Without the feature there is no value for them, because reading it fails.

use std::num::NonZeroU32;

use crate::settings::Config;

pub(super) fn new_keys_per_minute(config: &mut Config, keys: NonZeroU32) {
    #[cfg(feature = "quota")]
    {
        use crate::settings::quota::NewKeys;
        config.new_keys = Some(std::sync::Arc::new(NewKeys::new(keys)));
    }
    #[cfg(not(feature = "quota"))]
    let _ = (config, keys);
}

pub(super) fn strict_keys(config: &mut Config, is_on: bool) {
    #[cfg(feature = "strict-keys")]
    {
        use crate::record::key::KeyForm;
        config.key_form = if is_on { KeyForm::STRICT } else { KeyForm::ANY };
    }
    #[cfg(not(feature = "strict-keys"))]
    let _ = (config, is_on);
}
