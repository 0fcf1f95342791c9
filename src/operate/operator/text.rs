//! The texts of an audit entry.

use std::fmt;

/// A text that an audit entry cannot contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidText {
    /// It is empty.
    Empty,
    /// It has more bytes than this.
    TooLong {
        /// The most bytes.
        most: usize,
    },
    /// It contains a control character, such as the end of a line.
    Control,
}

impl fmt::Display for InvalidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the name of the operator or the reason is empty"),
            Self::TooLong { most } => {
                write!(f, "the name of the operator or the reason has more than {most} bytes")
            }
            Self::Control => f.write_str(
                "the name of the operator or the reason contains a control character, for example \
                 the end of a line",
            ),
        }
    }
}

impl std::error::Error for InvalidText {}

/// The text without spaces around it. Control characters could change what a terminal shows.
pub(super) fn checked(text: &str, most: usize) -> Result<String, InvalidText> {
    let text = text.trim();
    if text.is_empty() {
        return Err(InvalidText::Empty);
    }
    if text.len() > most {
        return Err(InvalidText::TooLong { most });
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidText::Control);
    }
    Ok(text.to_owned())
}
