//! A form by its fields.

use super::{CanonicalBody, Content, count};

pub(super) fn content(body: &[u8], rule: &CanonicalBody) -> Option<Content> {
    let mut fields = parse(body)?;
    fields.retain(|(name, _)| !rule.ignores(Some(name)));
    if let Some(only) = &rule.only {
        fields.retain(|(name, _)| only.iter().any(|pointer| pointer.names(Some(name))));
    }
    // With `items[][name]` and `items[][price]` some readers begin an item when a name comes again, so which name stands
    // between which others counts.
    if !fields.iter().any(|(name, _)| name.contains("[]")) {
        // Stable, so that several values of one field keep their order.
        fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    }
    let mut content = vec![count(fields.len())];
    for (name, value) in fields {
        content.extend([name.into_bytes(), value.into_bytes()]);
    }
    Some(content)
}

/// The names and values; `None` if another reader may read others.
fn parse(body: &[u8]) -> Option<Vec<(String, String)>> {
    let mut escapes = body.split(|byte| *byte == b'%').skip(1);
    let is_whole =
        |escape: &[u8]| matches!(escape, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    if !escapes.all(is_whole) || str::from_utf8(body).is_err() {
        return None;
    }
    let fields: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
    // What was not UTF-8 is decoded to this character, whatever it was.
    let is_clear = |text: &str| !text.contains(char::REPLACEMENT_CHARACTER);
    fields.iter().all(|(name, value)| is_clear(name) && is_clear(value)).then_some(fields)
}

#[cfg(test)]
mod tests;
