//! Positions in a file, and the problems found there.

use std::fmt;
use std::ops::Range;

/// An offset into the text of a file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position(usize);

impl From<Range<usize>> for Position {
    fn from(span: Range<usize>) -> Self {
        Self(span.start)
    }
}

/// A problem in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    position: Option<Position>,
    text: String,
}

impl Problem {
    pub(crate) fn at(position: Position, text: impl Into<String>) -> Self {
        Self { position: Some(position), text: text.into() }
    }

    /// The same, at `position` unless it has a position.
    pub(super) fn or_at(self, position: Position) -> Self {
        Self { position: self.position.or(Some(position)), ..self }
    }

    /// The problem for a person: `gateway.toml:3: …`.
    pub(crate) fn told<'a>(&'a self, name: &'a str, contents: &'a str) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| {
            write!(f, "{name}")?;
            if let Some(Position(offset)) = self.position {
                let before = contents.get(..offset).unwrap_or(contents);
                write!(f, ":{}", 1 + before.matches('\n').count())?;
            }
            write!(f, ": {}", self.text)
        })
    }
}

impl From<toml::de::Error> for Problem {
    fn from(error: toml::de::Error) -> Self {
        let text = error.message().trim_end().replace('\n', "; ");
        Self { position: error.span().map(Position::from), text }
    }
}
