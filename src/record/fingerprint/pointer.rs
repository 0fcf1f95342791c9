//! [`JsonPointer`]: a place in a JSON document.

use std::borrow::Cow;
#[cfg(feature = "canonical")]
use std::collections::BTreeSet;
use std::fmt;

/// A place in a JSON document, in the syntax of RFC 6901, for example `/items/0/note`.
///
/// In a name, `~1` means a slash and `~0` a tilde. The empty pointer is the whole document.
///
/// ```
/// use tower_idempotency::JsonPointer;
///
/// const NONCE: JsonPointer = JsonPointer::from_static("/meta/nonce");
/// assert_eq!(JsonPointer::new("/meta/nonce"), Ok(NONCE));
/// assert!(JsonPointer::new("meta.nonce").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JsonPointer(Cow<'static, str>);

impl JsonPointer {
    /// Parses a pointer at run time.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidPointer`] in these cases:
    ///
    /// - The pointer is neither empty nor starts with a slash.
    /// - A tilde is followed by neither 0 nor 1.
    pub fn new(pointer: &str) -> Result<Self, InvalidPointer> {
        if !is_valid(pointer) {
            return Err(InvalidPointer);
        }
        Ok(Self(pointer.to_owned().into()))
    }

    /// Creates a pointer from a literal.
    ///
    /// # Panics
    ///
    /// Panics if the pointer is not valid. For a constant, compilation fails instead.
    pub const fn from_static(pointer: &'static str) -> Self {
        assert!(
            is_valid(pointer),
            "a JSON pointer is empty or starts with a slash, and 0 or 1 follows each tilde"
        );
        Self(Cow::Borrowed(pointer))
    }

    /// The pointer as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names and indices that lead to this place, from the top.
    pub(super) fn steps(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.0.split('/').skip(1).map(unescaped)
    }

    /// The place that contains this one.
    #[cfg(feature = "canonical")]
    pub(super) fn parent(&self) -> Option<Self> {
        let (parent, _) = self.0.rsplit_once('/')?;
        Some(Self(parent.to_owned().into()))
    }
}

/// The name that a step of a pointer represents.
fn unescaped(step: &str) -> Cow<'_, str> {
    if step.contains('~') { step.replace("~1", "/").replace("~0", "~").into() } else { step.into() }
}

/// The form fields or multipart parts that some pointers name. Only top-level pointers name one.
#[cfg(feature = "canonical")]
pub(super) struct Names<'p> {
    /// One of the pointers is the whole document.
    has_all: bool,
    names: BTreeSet<Cow<'p, str>>,
}

#[cfg(feature = "canonical")]
impl<'p> Names<'p> {
    pub(super) fn of(pointers: &'p BTreeSet<JsonPointer>) -> Self {
        let name = |pointer: &'p JsonPointer| {
            pointer.0.strip_prefix('/').filter(|own| !own.contains('/')).map(unescaped)
        };
        Self {
            has_all: pointers.iter().any(|pointer| pointer.0.is_empty()),
            names: pointers.iter().filter_map(name).collect(),
        }
    }

    pub(super) fn have(&self, name: Option<&str>) -> bool {
        self.has_all || name.is_some_and(|name| self.names.contains(name))
    }
}

impl fmt::Display for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const fn is_valid(pointer: &str) -> bool {
    let bytes = pointer.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        if index == 0 && bytes[0] != b'/' {
            return false;
        }
        if bytes[index] == b'~' && !matches!(bytes.split_at(index).1, [_, b'0' | b'1', ..]) {
            return false;
        }
        index += 1;
    }
    true
}

/// The error of a text that is not a JSON pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidPointer;

impl fmt::Display for InvalidPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON pointer is empty or starts with a slash, and 0 or 1 follows each tilde")
    }
}

impl std::error::Error for InvalidPointer {}

#[cfg(test)]
mod tests;
