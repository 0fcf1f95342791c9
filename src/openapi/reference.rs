//! References of a document to itself.

use serde_json::Value;

/// The longest chain of references that is followed. A longer one is a circle.
const LONGEST_CHAIN: usize = 16;

/// The value, or what it refers to. An error is the reference that leads nowhere.
pub(super) fn resolved<'a>(document: &'a Value, mut value: &'a Value) -> Result<&'a Value, String> {
    for _ in 0..LONGEST_CHAIN {
        let Some(reference) = value["$ref"].as_str() else { return Ok(value) };
        let found = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
        value = found.ok_or_else(|| reference.to_owned())?;
    }
    Err(value["$ref"].to_string())
}
