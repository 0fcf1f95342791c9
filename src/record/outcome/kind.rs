//! The kinds of body, in one table: the number of each in a frame, and its word in a column.

use crate::record::frame::DecodeError;

/// Why the body of a response was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotRetained {
    /// It was larger than the limit.
    TooLarge,
    /// Its length was not known before its end.
    Streamed,
    /// The attempt failed, and failures are not replayed here.
    Failure,
    /// It was stored, but the store has lost it.
    Lost,
    /// The layer is set to store nothing of it.
    Withheld,
    /// The store rejected it.
    Rejected,
    /// It did not end in time.
    Stalled,
    /// An operator knows that the operation was done, and has no response for it.
    Settled,
}

/// The kind of a stored body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Whole,
    Packed,
    Omitted,
    NotRetained(NotRetained),
}

/// Each kind with its number and its word. Both are part of the format: append, and never change
/// one. A frame can store numbers up to 15.
pub(super) const KINDS: [(Kind, u8, Option<&str>); 11] = [
    (Kind::Whole, 0, None),
    (Kind::NotRetained(NotRetained::TooLarge), 1, Some("too large")),
    (Kind::NotRetained(NotRetained::Streamed), 2, Some("streamed")),
    (Kind::NotRetained(NotRetained::Failure), 3, Some("failure")),
    (Kind::NotRetained(NotRetained::Lost), 4, Some("lost")),
    (Kind::NotRetained(NotRetained::Withheld), 5, Some("withheld")),
    (Kind::Omitted, 6, Some("omitted")),
    (Kind::Packed, 7, Some("packed")),
    (Kind::NotRetained(NotRetained::Rejected), 8, Some("rejected")),
    (Kind::NotRetained(NotRetained::Stalled), 9, Some("stalled")),
    (Kind::NotRetained(NotRetained::Settled), 10, Some("settled")),
];

impl Kind {
    pub(super) fn has_bytes(self) -> bool {
        matches!(self, Self::Whole | Self::Packed)
    }

    pub(super) fn number(self) -> u8 {
        // A kind that is missing in the table gets a number that no reader accepts.
        KINDS.iter().find(|(kind, ..)| *kind == self).map_or(15, |(_, number, _)| *number)
    }

    pub(super) fn of_number(number: u8) -> Result<Self, DecodeError> {
        KINDS
            .iter()
            .find(|(_, known, _)| *known == number)
            .map(|(kind, ..)| *kind)
            .ok_or(DecodeError)
    }

    /// `None` for a body that is stored as it is.
    #[cfg(any(feature = "admin", feature = "postgres", feature = "sqlite"))]
    pub(crate) fn word(self) -> Option<&'static str> {
        KINDS.iter().find(|(kind, ..)| *kind == self).and_then(|(.., word)| *word)
    }

    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn of_word(word: Option<&str>) -> Result<Self, DecodeError> {
        KINDS.iter().find(|(.., known)| *known == word).map(|(kind, ..)| *kind).ok_or(DecodeError)
    }
}
