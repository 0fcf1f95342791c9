//! The columns of a label.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::record::frame::DecodeError;
use crate::record::key::ScopeDigest;
use crate::record::label::RecordLabel;
use crate::store::Lease;

/// What a row says of its operation. All are null if the layer does not label its records.
pub(in crate::store::sql) struct LabelColumns<'a> {
    pub(in crate::store::sql) namespace: Option<Cow<'a, str>>,
    pub(in crate::store::sql) route: Option<Cow<'a, str>>,
    pub(in crate::store::sql) scope: Option<&'a [u8]>,
}

impl<'a> LabelColumns<'a> {
    pub(in crate::store::sql) fn of(lease: &'a Lease) -> Self {
        let label = lease.label.as_deref();
        Self {
            namespace: label.map(|label| written(&label.namespace)),
            route: label.map(|label| written(&label.route)),
            scope: label.map(|_| &lease.scope.as_bytes()[..]),
        }
    }
}

/// The label in a row.
pub(super) fn label(namespace: Option<&str>, route: Option<&str>) -> Option<Arc<RecordLabel>> {
    let (namespace, route) = (namespace?, route?);
    Some(Arc::new(RecordLabel::new(&read(namespace), &read(route))))
}

pub(super) fn scope(scope: Option<Vec<u8>>) -> Result<Option<ScopeDigest>, DecodeError> {
    let scope = scope.map(|scope| scope.try_into().map(ScopeDigest::from_bytes));
    scope.transpose().map_err(|_| DecodeError)
}

fn is_plain(char: char) -> bool {
    matches!(char, ' '..='~') && char != '\\'
}

/// A text in visible ASCII, because the encoding of a database could reject others. Then every
/// request of that route would fail. A character beyond ASCII is written as `\u{20ac}`.
pub(in crate::store::sql) fn written(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut written = String::with_capacity(text.len() * 2);
    for char in text.chars() {
        match char {
            '\\' => written.push_str("\\\\"),
            char if is_plain(char) => written.push(char),
            char => {
                let _ = write!(written, "{}", char.escape_unicode());
            }
        }
    }
    Cow::Owned(written)
}

/// A text that was written otherwise is read as it is.
fn read(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    unescaped(text).map_or(Cow::Borrowed(text), Cow::Owned)
}

fn unescaped(text: &str) -> Option<String> {
    let mut read = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escaped)) = rest.split_once('\\') {
        read.push_str(before);
        rest = if let Some(number) = escaped.strip_prefix("u{") {
            let (number, rest) = number.split_once('}')?;
            read.push(char::from_u32(u32::from_str_radix(number, 16).ok()?)?);
            rest
        } else {
            read.push('\\');
            escaped.strip_prefix('\\')?
        };
    }
    read.push_str(rest);
    Some(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_written_in_ascii_and_read_as_they_were() {
        for (text, in_ascii) in [
            ("POST /payments/{id}", "POST /payments/{id}"),
            ("GET /caf\u{e9}\u{20ac}", "GET /caf\\u{e9}\\u{20ac}"),
            ("a\\u{e9}\\b", "a\\\\u{e9}\\\\b"),
        ] {
            assert_eq!(written(text), in_ascii);
            assert_eq!(read(in_ascii), text);
        }
        for other in ["\\", "a\\b", "\\u{", "\\u{110000}", "\\u{g}"] {
            assert_eq!(read(other), other);
        }
    }
}
