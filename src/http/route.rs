//! Whether the router has found a route for a request.

use axum::extract::{MatchedPath, OriginalUri};
use http::Extensions;

/// Whether axum's router calls its fallback. Another router leaves neither of the two.
pub(crate) fn is_missing(extensions: &Extensions) -> bool {
    extensions.get::<MatchedPath>().is_none() && extensions.get::<OriginalUri>().is_some()
}
