//! Strict mode: the header must be an RFC 9651 Item with a String value, as in the IETF draft.

use sfv::{BareItem, Item, Parser};

use super::{IdempotencyKey, KeyError, KeyForm, is_of_string};

impl IdempotencyKey {
    /// Parses the value of the header as an RFC 9651 Item with a String value (`"abc"`).
    ///
    /// Every String of 1 to 255 characters is a key, including Strings with spaces. Parameters are
    /// ignored, because the draft defines none. A bare value is rejected.
    ///
    /// # Errors
    ///
    /// - [`KeyError::NotAString`] if the value is not a String;
    /// - [`KeyError::Empty`] if the String is empty;
    /// - [`KeyError::TooLong`] if it has more than [`MAX_LEN`](Self::MAX_LEN) characters.
    pub fn parse_strict(value: &[u8]) -> Result<Self, KeyError> {
        let item = Parser::new(value).parse_item::<Item>().map_err(|_| KeyError::NotAString)?;
        match item.bare_item {
            BareItem::String(key) => Self::of_bytes(key.as_str().as_bytes(), is_of_string),
            _ => Err(KeyError::NotAString),
        }
    }
}

impl KeyForm {
    /// See [`IdempotencyKey::parse_strict`]. The pattern has no parameters, because they mean
    /// nothing.
    pub(crate) const STRICT: Self = Self {
        parse: IdempotencyKey::parse_strict,
        pattern: r#"^"([ !#-\[\]-~]|\\["\\]){1,255}"$"#,
    };
}

#[cfg(test)]
mod tests;
