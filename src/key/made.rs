//! Keys that the client side makes.

use super::IdempotencyKey;

impl IdempotencyKey {
    /// A key that this crate made: 1 to 255 bytes of visible ASCII.
    pub(crate) fn made(key: String) -> Self {
        Self(key.into())
    }

    /// The key as an RFC 9651 String, quotes and all.
    pub(crate) fn quoted(&self) -> String {
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
}
