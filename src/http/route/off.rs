//! Without the feature `axum` no router is known.

use http::Extensions;

pub(crate) fn is_missing(_: &Extensions) -> bool {
    false
}
