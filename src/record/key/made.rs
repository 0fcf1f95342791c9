//! Keys that the client side generates, stores and writes.

use super::{IdempotencyKey, KeyError, is_of_string};

impl IdempotencyKey {
    /// A key that this crate generated: 1 to 255 bytes of visible ASCII.
    pub(crate) fn made(key: String) -> Self {
        Self(key.into())
    }

    /// Parses a key that was stored as its [`as_str`](Self::as_str).
    pub(crate) fn stored(key: &str) -> Result<Self, KeyError> {
        Self::of_bytes(key.as_bytes(), is_of_string)
    }

    /// The key as a header value, bare or quoted.
    ///
    /// A bare key that starts with a quote needs quotes, because a server would read another key or
    /// none. So does a key with a space: only servers in strict mode accept it, and only in quotes.
    pub(crate) fn written(&self, is_quoted: bool) -> String {
        let needs_quotes =
            is_quoted || self.as_str().starts_with('"') || self.as_str().contains(' ');
        if needs_quotes { self.quoted() } else { self.as_str().to_owned() }
    }

    /// The key as an RFC 9651 String, including the quotes.
    fn quoted(&self) -> String {
        let escaped = self.as_str().replace('\\', r"\\").replace('"', "\\\"");
        format!("\"{escaped}\"")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_key_is_read_as_the_key() {
        for key in ["order-1001", r#"a"b"#, r"c:\\d\e", "~", r#""""#] {
            let key = IdempotencyKey::bare(key.as_bytes()).unwrap();
            assert_eq!(IdempotencyKey::parse(key.quoted().as_bytes()).unwrap(), key);
        }
    }

    #[test]
    fn a_key_with_a_space_is_written_in_quotes_and_survives_a_store() {
        for key in ["order 1001", " ", r#"a "b" \c"#] {
            let key = IdempotencyKey::stored(key).unwrap();
            assert_eq!(IdempotencyKey::stored(key.as_str()).unwrap(), key);
            for is_quoted in [false, true] {
                assert_eq!(key.written(is_quoted), key.quoted());
            }
            #[cfg(feature = "strict-keys")]
            assert_eq!(IdempotencyKey::parse_strict(key.quoted().as_bytes()).unwrap(), key);
        }
        for key in ["", "a\tb", "ü", &"k".repeat(256)] {
            assert!(IdempotencyKey::stored(key).is_err(), "{key:?}");
        }
    }

    #[test]
    fn a_written_key_is_read_as_the_key_and_has_quotes_only_where_it_needs_them() {
        for key in ["order-1001", r#"a"b""#, r"\", r#""""#, r#""abc""#, r#"""#] {
            let key = IdempotencyKey::bare(key.as_bytes()).unwrap();
            for is_quoted in [false, true] {
                let written = key.written(is_quoted);
                assert_eq!(IdempotencyKey::parse(written.as_bytes()).unwrap(), key);
                let is_bare = written == key.as_str();
                assert_eq!(is_bare, !is_quoted && !key.as_str().starts_with('"'), "{written}");
            }
        }
    }
}
