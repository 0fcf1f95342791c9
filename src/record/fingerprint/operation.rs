//! [`Input`]: a request as a fingerprint rule sees it.

use std::borrow::Cow;
use std::fmt;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Extensions, HeaderMap, Method, Uri, header};

/// A request as a [`FingerprintRule`](super::FingerprintRule) sees it: its head, and the whole
/// body.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    parts: &'a Parts,
    body: &'a [u8],
}

impl<'a> Input<'a> {
    /// Creates the input of a rule from the head and the body of a request. Use it to test a rule.
    pub fn new(parts: &'a Parts, body: &'a [u8]) -> Self {
        Self { parts, body }
    }

    /// The method.
    pub fn method(&self) -> &'a Method {
        &self.parts.method
    }

    /// The path and query that the client sent. With the feature `axum` they include the prefix
    /// that a nested router has removed.
    pub fn path_and_query(&self) -> &'a str {
        original_path(self.parts)
    }

    /// The headers.
    pub fn headers(&self) -> &'a HeaderMap {
        &self.parts.headers
    }

    /// The extensions that outer layers have attached to the request, for example the authenticated
    /// caller.
    pub fn extensions(&self) -> &'a Extensions {
        &self.parts.extensions
    }

    /// The whole body.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The media type in lower case and without its parameters, such as `application/json`.
    ///
    /// It is `None` unless the request has exactly one content type of a valid form.
    pub fn media_type(&self) -> Option<Cow<'a, str>> {
        let essence = self.content_type()?.split(';').next()?.trim_matches([' ', '\t']);
        let (kind, subtype) = essence.split_once('/')?;
        if kind.is_empty() || subtype.is_empty() {
            return None;
        }
        let is_lower = !essence.bytes().any(|byte| byte.is_ascii_uppercase());
        Some(if is_lower { essence.into() } else { essence.to_ascii_lowercase().into() })
    }

    /// The parameters of the content type that can change the meaning of the body, such as a
    /// version or a profile. They exclude the boundary and the charset UTF-8, which is the default.
    #[cfg(feature = "canonical")]
    pub(super) fn parameters(&self) -> Vec<&'a str> {
        let mut is_quoted = false;
        let mut is_escaped = false;
        let ends = |character: char| {
            is_quoted ^= character == '"' && !is_escaped;
            is_escaped = character == '\\' && is_quoted && !is_escaped;
            character == ';' && !is_quoted
        };
        let parameters = self.content_type().unwrap_or_default().split(ends).skip(1);
        let counts = |parameter: &&str| match parameter.split_once('=') {
            Some((name, _)) if name.eq_ignore_ascii_case("boundary") => false,
            Some((name, charset)) if name.eq_ignore_ascii_case("charset") => {
                !charset.trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            _ => !parameter.is_empty(),
        };
        parameters.map(|parameter| parameter.trim_matches([' ', '\t'])).filter(counts).collect()
    }

    /// The content type with its parameters, if there is exactly one.
    pub(super) fn content_type(&self) -> Option<&'a str> {
        let mut values = self.parts.headers.get_all(header::CONTENT_TYPE).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    }
}

/// The path and query that the client sent. A nested router removes its prefix from the URI that
/// the layer sees.
#[cfg(feature = "axum")]
fn original_path(parts: &Parts) -> &str {
    let original = parts.extensions.get::<axum::extract::OriginalUri>();
    path_and_query(original.map_or(&parts.uri, |original| &original.0))
}

#[cfg(not(feature = "axum"))]
fn original_path(parts: &Parts) -> &str {
    path_and_query(&parts.uri)
}

fn path_and_query(uri: &Uri) -> &str {
    uri.path_and_query().map_or(uri.path(), PathAndQuery::as_str)
}

/// Shows neither headers nor body, because they contain the client's data.
impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Input({} {} bytes)", self.parts.method, self.body.len())
    }
}
