//! Reading header values that several modules read alike.

use http::{HeaderMap, HeaderName, header};

/// Whether this is the media type of the body, whatever its parameters.
pub(crate) fn has_media_type(headers: &HeaderMap, name: &str) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next()).map(str::trim);
    media_type.is_some_and(|media_type| media_type.eq_ignore_ascii_case(name))
}

/// The value of a header that says `true` or `false`; `None` if it says something else.
pub(crate) fn flag(headers: &HeaderMap, name: &HeaderName) -> Option<bool> {
    let value = headers.get(name)?.as_bytes().trim_ascii();
    let is = |word: &str| value.eq_ignore_ascii_case(word.as_bytes());
    if is("true") { Some(true) } else { is("false").then_some(false) }
}
