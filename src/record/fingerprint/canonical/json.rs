//! JSON in the canonical form of RFC 8785, if that form preserves the whole content of the text.

use super::{CanonicalBody, Content, JsonPointer, number};
use crate::record::fingerprint::document::{Document, Value};

pub(super) fn content(body: &[u8], rule: &CanonicalBody) -> Option<Content> {
    let mut document = parse(body)?;
    for pointer in &rule.ignored {
        ignore(&mut document, pointer);
    }
    let mut content = Content::default();
    let Some(only) = &rule.only else {
        content.write(|field| write(&document, document.whole(), field))?;
        return Some(content);
    };
    for pointer in only {
        let found = document.look_up(pointer);
        content.count(usize::from(found.is_some()));
        if let Some(value) = found {
            content.write(|field| write(&document, value, field))?;
        }
    }
    Some(content)
}

/// Parses the document. Returns `None` if another reader may read a different one.
pub(crate) fn parse(text: &[u8]) -> Option<Document<'_>> {
    let document = Document::parse(text).ok()?;
    let is_clear = |value: &Value<'_>| match value {
        Value::Number(literal) => number::is_clear(literal),
        _ => true,
    };
    document.nodes.iter().all(|node| is_clear(&node.value)).then_some(document)
}

/// The canonical form. It is equal for two documents only if the documents are equal.
#[cfg(any(test, fuzzing))]
pub(crate) fn canonical(document: &Document<'_>) -> Option<Vec<u8>> {
    let mut form = Vec::new();
    write(document, document.whole(), &mut form)?;
    Some(form)
}

fn write(document: &Document<'_>, value: &Value<'_>, form: &mut Vec<u8>) -> Option<()> {
    match value {
        Value::Null | Value::Removed => form.extend_from_slice(b"null"),
        Value::Bool(true) => form.extend_from_slice(b"true"),
        Value::Bool(false) => form.extend_from_slice(b"false"),
        // In the spelling of ECMAScript.
        Value::Number(literal) => {
            let mut digits = ryu_js::Buffer::new();
            form.extend_from_slice(digits.format_finite(number::double(literal)?).as_bytes());
        }
        Value::String(string) => write_string(string, form),
        Value::Array(elements) => {
            form.push(b'[');
            for (index, element) in document.nodes[elements.clone()].iter().enumerate() {
                form.extend_from_slice(if index > 0 { b"," } else { b"" });
                write(document, &element.value, form)?;
            }
            form.push(b']');
        }
        Value::Object(members) => {
            form.push(b'{');
            let left = document.nodes[members.clone()].iter();
            let left = left.filter(|member| !matches!(member.value, Value::Removed));
            for (index, member) in left.enumerate() {
                form.extend_from_slice(if index > 0 { b"," } else { b"" });
                write_string(&member.name, form);
                form.push(b':');
                write(document, &member.value, form)?;
            }
            form.push(b'}');
        }
    }
    Some(())
}

/// Writes a string with the escapes that RFC 8785 requires, and no others.
fn write_string(string: &str, form: &mut Vec<u8>) {
    let needs_escape = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
    let mut rest = string.as_bytes();
    form.push(b'"');
    while let Some(place) = rest.iter().position(needs_escape) {
        let byte = rest[place];
        form.extend_from_slice(&rest[..place]);
        rest = &rest[place + 1..];
        match byte {
            8 => form.extend_from_slice(b"\\b"),
            12 => form.extend_from_slice(b"\\f"),
            b'\n' => form.extend_from_slice(b"\\n"),
            b'\r' => form.extend_from_slice(b"\\r"),
            b'\t' => form.extend_from_slice(b"\\t"),
            b'"' | b'\\' => form.extend_from_slice(&[b'\\', byte]),
            _ => {
                let last = b"0123456789abcdef"[usize::from(byte & 0xf)];
                form.extend_from_slice(&[b'\\', b'u', b'0', b'0', b'0' + (byte >> 4), last]);
            }
        }
    }
    form.extend_from_slice(rest);
    form.push(b'"');
}

/// Removes a member. An element of an array becomes `null` instead, so that the indices of its
/// neighbours do not change. That `null` is unambiguous, because no document has a value left at
/// this place.
fn ignore(document: &mut Document<'_>, pointer: &JsonPointer) {
    let Some(place) = document.place_of(pointer.steps()) else {
        return;
    };
    let parent = pointer.parent().and_then(|parent| document.look_up(&parent));
    let is_member = matches!(parent, Some(Value::Object(_)));
    document.nodes[place].value = if is_member { Value::Removed } else { Value::Null };
}

#[cfg(test)]
mod tests;
