//! JSON in the canonical form of RFC 8785, where that form says all that the text does.

use serde_json::Value;

use super::{CanonicalBody, Content, JsonPointer, count, number};
use crate::fingerprint::scan::{Token, Tokens};
use crate::fingerprint::{has_repeated_members, has_too_many_objects};

pub(super) fn content(body: &[u8], rule: &CanonicalBody) -> Option<Content> {
    let mut document = parse(body)?;
    for pointer in &rule.ignored {
        ignore(&mut document, pointer);
    }
    let Some(only) = &rule.only else {
        return Some(vec![canonical(&document)?]);
    };
    let mut content = Content::new();
    for pointer in only {
        let found = pointer.look_up(&document);
        content.push(count(usize::from(found.is_some())));
        if let Some(value) = found {
            content.push(canonical(value)?);
        }
    }
    Some(content)
}

/// The value that the text stands for; `None` if another reader may take it for another value.
pub(crate) fn parse(text: &[u8]) -> Option<Value> {
    if has_too_many_objects(text) {
        return None;
    }
    let value: Value = serde_json::from_slice(text).ok()?;
    let is_clear = |token| match token {
        Token::Number(literal) => number::is_clear(literal),
        Token::String(_) | Token::Colon => true,
    };
    let is_whole = Tokens(text).all(is_clear) && !has_repeated_members(text, &value);
    is_whole.then_some(value)
}

/// The canonical form, which is the same for two values only if they are the same.
pub(crate) fn canonical(value: &Value) -> Option<Vec<u8>> {
    serde_json_canonicalizer::to_vec(value).ok()
}

/// Takes a member out. An element of an array gives way to `null` instead, for its neighbours to keep their places. That
/// no real value there can be mistaken for it needs no mark of its own: at this place nothing real is ever left.
fn ignore(document: &mut Value, pointer: &JsonPointer) {
    let pointer = pointer.as_str();
    let Some((parent, name)) = pointer.rsplit_once('/') else {
        *document = Value::Null;
        return;
    };
    match document.pointer_mut(parent) {
        Some(Value::Object(members)) => {
            members.remove(&JsonPointer::unescape(name));
        }
        Some(Value::Array(_)) => {
            if let Some(element) = document.pointer_mut(pointer) {
                *element = Value::Null;
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
