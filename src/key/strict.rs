//! Strict mode: the header must be an RFC 9651 Item whose value is a String, as the IETF draft writes it.

use sfv::{BareItem, Item, Parser};

use super::{IdempotencyKey, KeyError};

impl IdempotencyKey {
    /// Parses the value of the header as an RFC 9651 Item that is a String (`"abc"`). Parameters are ignored, as
    /// the draft defines none; a bare value is refused.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotAString`] for anything but a String; then the rules of [`parse`](Self::parse).
    pub fn parse_strict(value: &[u8]) -> Result<Self, KeyError> {
        let item = Parser::new(value).parse_item::<Item>().map_err(|_| KeyError::NotAString)?;
        match item.bare_item {
            BareItem::String(key) => Self::bare(key.as_str().as_bytes()),
            _ => Err(KeyError::NotAString),
        }
    }
}

#[cfg(test)]
mod tests;
