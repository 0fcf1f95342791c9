//! A JSON text as the values in it, in little memory.
//!
//! The `Value` of `serde_json` would not do: an object of eight bytes takes some six hundred in it,
//! a repeated name is dropped, the text of a number is lost. Features that any other crate of the
//! program asks for (`raw_value`, `arbitrary_precision`) also give some names another meaning, for
//! a visitor of our own too. One pass over the text is also several times as fast. Tests compare it
//! with `serde_json` on texts that are JSON and texts that are not.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use super::JsonPointer;

mod reader;

/// Every value of a text. The values of an array or object are neighbours; those of an object are
/// sorted by name.
pub(crate) struct Document<'t> {
    /// The last one is the whole document.
    pub(super) nodes: Vec<Node<'t>>,
}

pub(crate) struct Node<'t> {
    /// The name of a member of an object.
    pub(super) name: Cow<'t, str>,
    pub(crate) value: Value<'t>,
}

// Only canonical JSON looks at every value.
#[cfg_attr(not(feature = "canonical"), allow(dead_code))]
pub(crate) enum Value<'t> {
    Null,
    Bool(bool),
    /// As it is written.
    Number(&'t str),
    String(Cow<'t, str>),
    Array(Range<usize>),
    Object(Range<usize>),
    /// A member that a rule has taken out.
    #[cfg(feature = "canonical")]
    Removed,
}

/// Why a text is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// A name is twice in an object. Readers differ in which of the two they take.
    Repeated,
    /// The text is not JSON, too much, too deep, not UTF-8, or has a number that no double holds.
    /// Another reader may skip that part.
    Unreadable,
}

impl<'t> Document<'t> {
    pub(crate) fn parse(text: &'t [u8]) -> Result<Self, Flaw> {
        let text = str::from_utf8(text).map_err(|_| Flaw::Unreadable)?;
        Ok(Self { nodes: reader::read(text)? })
    }

    #[cfg(feature = "canonical")]
    pub(super) fn whole(&self) -> &Value<'t> {
        self.nodes.last().map_or(&Value::Null, |node| &node.value)
    }

    /// The value at this place.
    pub(crate) fn look_up(&self, pointer: &JsonPointer) -> Option<&Value<'t>> {
        self.place_of(pointer.steps()).map(|place| &self.nodes[place].value)
    }

    /// The index of the node to which these steps lead.
    pub(super) fn place_of<'s>(&self, mut steps: impl Iterator<Item = Cow<'s, str>>) -> Option<usize> {
        let root = self.nodes.len().checked_sub(1)?;
        let place = steps.try_fold(root, |place, step| match &self.nodes[place].value {
            Value::Array(elements) => elements.clone().nth(index(&step)?),
            Value::Object(members) => {
                let found = self.nodes[members.clone()].binary_search_by(|node| order(&node.name, &step));
                Some(members.start + found.ok()?)
            }
            _ => None,
        })?;
        #[cfg(feature = "canonical")]
        if matches!(self.nodes[place].value, Value::Removed) {
            return None;
        }
        Some(place)
    }
}

/// The place in an array that a step of a pointer names, as RFC 6901 has it.
fn index(step: &str) -> Option<usize> {
    let is_padded = step.len() > 1 && step.starts_with('0');
    if is_padded || step.starts_with('+') { None } else { step.parse().ok() }
}

/// The order of two names in UTF-16, which RFC 8785 asks for. It is that of their bytes, except
/// that characters beyond U+FFFF come before U+E000.
fn order(one: &str, other: &str) -> Ordering {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    // In steps of 16, because a client can send many names that differ late.
    let (blocks, _) = one.as_chunks::<16>();
    let (other_blocks, _) = other.as_chunks::<16>();
    let shared = 16 * blocks.iter().zip(other_blocks).take_while(|(one, other)| one == other).count();
    let (one, other) = (&one[shared..], &other[shared..]);
    match one.iter().zip(other).find(|(one, other)| one != other) {
        Some((one @ 0xee.., other @ 0xee..)) => (*one < 0xf0).cmp(&(*other < 0xf0)).then(one.cmp(other)),
        Some((one, other)) => one.cmp(other),
        None => one.len().cmp(&other.len()),
    }
}

#[cfg(test)]
mod tests;
