//! The [`Token`]: it fences the writes of one attempt off from the writes of every other one.

use super::{StoreError, StoreErrorKind};

/// Distinguishes one attempt from every other one for the same key. It is never used twice for a
/// key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; 16]);

impl Token {
    /// Makes a token of bytes that the store has chosen. They must be unique for the key.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Draws a token from the random bytes of the system. Draw one for each reservation.
    ///
    /// Random bytes do not repeat after a restart, in another process or in a copy of a running
    /// machine. A counter can.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unavailable`] if the system gives no random bytes.
    pub fn random() -> Result<Self, StoreError> {
        let mut bytes = [0; 16];
        let drawn = getrandom::fill(&mut bytes);
        drawn.map_err(|error| StoreError::with_source(StoreErrorKind::Unavailable, error))?;
        Ok(Self(bytes))
    }

    /// The bytes of the token.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}
