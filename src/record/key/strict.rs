//! Strict mode: the header must be an RFC 9651 Item whose value is a String, as the IETF draft writes it.

use sfv::{BareItem, Item, Parser};

use super::{IdempotencyKey, KeyError, is_of_string};

impl IdempotencyKey {
    /// Parses the value of the header as an RFC 9651 Item that is a String (`"abc"`). Every String of 1 to
    /// 255 characters is a key, spaces included. Parameters are ignored, because the draft defines none. A
    /// bare value is rejected.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotAString`] for anything but a String, [`KeyError::Empty`] for an empty one, and
    /// [`KeyError::TooLong`] for one of more than [`MAX_LEN`](Self::MAX_LEN) characters.
    pub fn parse_strict(value: &[u8]) -> Result<Self, KeyError> {
        let item = Parser::new(value).parse_item::<Item>().map_err(|_| KeyError::NotAString)?;
        match item.bare_item {
            BareItem::String(key) => Self::of_bytes(key.as_str().as_bytes(), is_of_string),
            _ => Err(KeyError::NotAString),
        }
    }
}

#[cfg(test)]
mod tests;
