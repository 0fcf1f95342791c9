//! Paths, and the patterns that they match.

use std::borrow::Cow;

/// The pattern of a path, such as `/payments/{id}/refunds` or `/payments/{*rest}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    segments: Vec<Segment>,
    has_rest: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Any,
}

impl Pattern {
    /// # Errors
    ///
    /// A text that says what to correct.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix('/') else {
            return Err(format!("the path `{text}` does not begin with `/`"));
        };
        let mut pattern = Self { segments: Vec::new(), has_rest: false };
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            if pattern.has_rest {
                return Err(format!("the path `{text}` goes on after `{{*…}}`"));
            }
            match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                Some(name) if name.starts_with('*') => pattern.has_rest = true,
                Some(_) => pattern.segments.push(Segment::Any),
                None if segment.contains(['{', '}', '*', '?', '#']) => {
                    return Err(format!(
                        "the path `{text}`: `{segment}` is neither a text, nor `{{name}}`, nor \
                         `{{*rest}}` at the end"
                    ));
                }
                None => pattern.segments.push(Segment::Literal(normal(segment).into_owned())),
            }
        }
        Ok(pattern)
    }

    /// Whether it has a path in its [`normal`] form. An empty rest matches `{*rest}`, and a slash
    /// at the end does not count: many frameworks take both, and one of them would be unguarded.
    pub(super) fn matches(&self, path: &str) -> bool {
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        for expected in &self.segments {
            match (expected, segments.next()) {
                (Segment::Literal(expected), Some(found)) if expected == found => {}
                (Segment::Any, Some(_)) => {}
                _ => return false,
            }
        }
        self.has_rest || segments.next().is_none()
    }
}

/// A path as most servers understand it: digits that need no escape are decoded (RFC 3986, 6.2.2),
/// and `.` and `..` are resolved.
pub(super) fn normal(path: &str) -> Cow<'_, str> {
    if !path.contains('%') && !path.contains("/.") {
        return Cow::Borrowed(path);
    }
    let decoded = decode(path);
    let mut segments = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let is_absolute = decoded.starts_with('/');
    Cow::Owned(if is_absolute { format!("/{}", segments.join("/")) } else { segments.join("/") })
}

/// Decodes escapes of unreserved characters (RFC 3986, 2.3). Other escapes stay, in upper
/// case.
fn decode(path: &str) -> String {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        let digits = rest.get(at + 1..at + 3);
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                decoded.push(char::from(byte));
            }
            _ => decoded.push_str(&rest[at..(at + 3).min(rest.len())].to_ascii_uppercase()),
        }
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    decoded.push_str(rest);
    decoded
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_pattern_has_texts_names_and_a_rest() {
        let refunds = Pattern::parse("/payments/{id}/refunds").unwrap();
        assert!(refunds.matches("/payments/1/refunds") && refunds.matches("/payments/1/refunds/"));
        for path in ["/payments/1", "/payments/1/refunds/2", "/payments//refunds", "/"] {
            assert!(!refunds.matches(path), "{path}");
        }
        let root = Pattern::parse("/").unwrap();
        assert!(root.matches("/") && !root.matches("/a"));
        let all = Pattern::parse("/{*all}").unwrap();
        assert!(all.matches("/") && all.matches("/a/b"));
    }

    #[test]
    fn a_wrong_pattern_is_an_error() {
        for pattern in ["payments", "/a/*", "/{*a}/b", "/a{b}", "/a?b", ""] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn an_escape_at_the_end_is_not_lost() {
        for (path, expected) in
            [("/a%", "/a%"), ("/a%4", "/a%4"), ("/%zz", "/%ZZ"), ("/%41", "/A"), ("/ä%2f", "/ä%2F")]
        {
            assert_eq!(normal(path), expected);
        }
    }
}
