//! Forms, compared by their fields.

use std::borrow::Cow;

use super::{CanonicalBody, Content, MOST_VALUES};
use crate::record::fingerprint::pointer::Names;

pub(super) fn content(body: &[u8], rule: &CanonicalBody) -> Option<Content> {
    let mut fields = parse(body)?;
    let ignored = Names::of(&rule.ignored);
    fields.retain(|(name, _)| !ignored.have(Some(name)));
    if let Some(only) = &rule.only {
        let only = Names::of(only);
        fields.retain(|(name, _)| only.have(Some(name)));
    }
    // With `items[][name]` and `items[][price]` some readers start a new item at a repeated name,
    // so the order of the names counts.
    if !fields.iter().any(|(name, _)| name.contains("[]")) {
        // A stable sort preserves the order of several values of one field.
        fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    }
    let mut content = Content::default();
    content.count(fields.len());
    for (name, value) in fields {
        content.push(name.as_bytes());
        content.push(value.as_bytes());
    }
    Some(content)
}

/// Parses the names and values. Returns `None` if another reader may read others, or if there are
/// too many.
fn parse(body: &[u8]) -> Option<Vec<(Cow<'_, str>, Cow<'_, str>)>> {
    if body.iter().filter(|byte| **byte == b'&').nth(MOST_VALUES - 1).is_some() {
        return None;
    }
    let mut escapes = body.split(|byte| *byte == b'%').skip(1);
    let is_whole = |escape: &[u8]| matches!(escape, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    if !escapes.all(is_whole) || str::from_utf8(body).is_err() {
        return None;
    }
    let fields: Vec<_> = form_urlencoded::parse(body).collect();
    // Bytes that are not UTF-8 are decoded to this character.
    let is_clear = |text: &str| !text.contains(char::REPLACEMENT_CHARACTER);
    fields.iter().all(|(name, value)| is_clear(name) && is_clear(value)).then_some(fields)
}

#[cfg(test)]
mod tests;
