//! The key that the client sent ([`IdempotencyKey`]), the caller that it belongs to ([`Scope`]),
//! and the name of both in a store ([`StorageKey`]).
//!
//! ```
//! use tower_idempotency::{IdempotencyKey, Scope};
//! use tower_idempotency::store::StorageKey;
//!
//! let bare = IdempotencyKey::parse(b"order-1001")?;
//! let quoted = IdempotencyKey::parse(b"\"order-1001\"")?;
//! assert_eq!(bare, quoted);
//!
//! let of_alice = StorageKey::derive(None, "payments", &Scope::new("alice"), &bare);
//! let of_bob = StorageKey::derive(None, "payments", &Scope::new("bob"), &bare);
//! assert_ne!(of_alice, of_bob);
//! # Ok::<(), tower_idempotency::KeyError>(())
//! ```

use std::fmt;
use std::sync::Arc;

use super::digest::Framed;
use super::hex;

#[cfg(feature = "client")]
mod made;
mod scope;
#[cfg(feature = "strict-keys")]
mod strict;

pub use scope::{IntoScope, Scope, ScopeDigest};

/// The key that the client chose for one operation: 1 to 255 bytes of visible ASCII, without
/// quotes.
///
/// In strict mode (`IdempotencyKey::parse_strict`) it may also contain spaces.
///
/// `Debug` shows only the length, because keys are the client's secret and must not appear in logs.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Arc<str>);

impl IdempotencyKey {
    /// The longest key, in bytes, without its quotes.
    pub const MAX_LEN: usize = 255;

    /// Parses the value of the header, bare (`abc`) or as a quoted RFC 9651 String (`"abc"`). Both
    /// forms are the same key.
    ///
    /// # Errors
    ///
    /// [`KeyError`] says why the value is not a key. The value is never trimmed, shortened or
    /// case-folded.
    pub fn parse(value: &[u8]) -> Result<Self, KeyError> {
        match value {
            [b'"', inner @ .., b'"'] => Self::bare(&unescape(inner)?),
            [b'"', ..] => Err(KeyError::Quoting),
            bare => Self::bare(bare),
        }
    }

    /// Parses a key literally. Quotes are part of it.
    pub(crate) fn bare(key: &[u8]) -> Result<Self, KeyError> {
        Self::of_bytes(key, |byte| byte.is_ascii_graphic())
    }

    fn of_bytes(key: &[u8], is_allowed: fn(u8) -> bool) -> Result<Self, KeyError> {
        if key.is_empty() {
            return Err(KeyError::Empty);
        }
        if key.len() > Self::MAX_LEN {
            return Err(KeyError::TooLong { len: key.len() });
        }
        if !key.iter().copied().all(is_allowed) {
            return Err(KeyError::NotVisibleAscii);
        }
        let key = std::str::from_utf8(key).map_err(|_| KeyError::NotVisibleAscii)?;
        Ok(Self(key.into()))
    }

    /// The key as text.
    ///
    /// Do not send it to other systems, because two tenants may choose the same key. Use
    /// [`Attempt::downstream_key`](crate::Attempt::downstream_key) instead.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether an RFC 9651 String may contain this byte: visible ASCII or a space.
#[cfg(any(feature = "strict-keys", feature = "client"))]
fn is_of_string(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// Removes the escapes of an RFC 9651 String. Only `\"` and `\\` exist.
fn unescape(inner: &[u8]) -> Result<Vec<u8>, KeyError> {
    let mut key = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next() {
                Some(escaped @ (b'"' | b'\\')) => key.push(escaped),
                _ => return Err(KeyError::Quoting),
            },
            b'"' => return Err(KeyError::Quoting),
            other => key.push(other),
        }
    }
    Ok(key)
}

/// The values of a header that are keys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyForm {
    pub(crate) parse: fn(&[u8]) -> Result<IdempotencyKey, KeyError>,
    /// The same values as a regular expression of ECMA-262.
    #[cfg_attr(not(feature = "openapi"), expect(dead_code, reason = "only OpenAPI reads it"))]
    pub(crate) pattern: &'static str,
}

impl KeyForm {
    /// See [`IdempotencyKey::parse`].
    pub(crate) const ANY: Self = Self {
        parse: IdempotencyKey::parse,
        pattern: r#"^([!#-~][!-~]{0,254}|"([!#-\[\]-~]|\\["\\]){1,255}")$"#,
    };
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdempotencyKey({} bytes)", self.0.len())
    }
}

/// Why a value is not an idempotency key. No error message contains the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The value is empty, or an empty String (`""`).
    Empty,
    /// The key has more than [`IdempotencyKey::MAX_LEN`] bytes.
    TooLong {
        /// The number of its bytes.
        len: usize,
    },
    /// A byte is not visible ASCII (0x21 to 0x7E): a space, a control byte, or a byte beyond ASCII.
    ///
    /// In strict mode a space is part of the key, and the other bytes are
    /// [`NotAString`](Self::NotAString).
    NotVisibleAscii,
    /// The value starts with a quote but is not one complete RFC 9651 String.
    Quoting,
    /// Strict mode: the value is not an RFC 9651 Item whose value is a String.
    NotAString,
    /// The request contains the header more than once.
    Repeated,
    /// The request contains different keys in different places: in headers or in the body.
    Conflicting,
    /// The member of the body that contains the key is not a string.
    NotText,
    /// The body contains a member twice, so its key is ambiguous.
    Ambiguous,
    /// The layer cannot read the whole body, and another reader may find a key in it. The body is
    /// compressed, or it is JSON with one of these properties:
    ///
    /// - It is nested too deeply.
    /// - It has more than 10,000 values.
    /// - A number is out of range.
    /// - A string is not UTF-8.
    Unreadable,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the idempotency key is empty"),
            Self::TooLong { len } => {
                write!(
                    f,
                    "the idempotency key has {len} bytes, more than {}",
                    IdempotencyKey::MAX_LEN
                )
            }
            Self::NotVisibleAscii => {
                f.write_str("the idempotency key has bytes other than visible ASCII")
            }
            Self::Quoting => f.write_str("the quoted idempotency key is not one complete string"),
            Self::NotAString => f.write_str("the idempotency key is not an RFC 9651 String"),
            Self::Repeated => {
                f.write_str("the request contains the idempotency key header more than once")
            }
            Self::Conflicting => {
                f.write_str("the request contains different idempotency keys in different places")
            }
            Self::NotText => f.write_str("the idempotency key in the body is not a string"),
            Self::Ambiguous => {
                f.write_str("the body that contains the idempotency key contains a member twice")
            }
            Self::Unreadable => f.write_str(
                "the body that may contain the idempotency key cannot be read completely",
            ),
        }
    }
}

impl std::error::Error for KeyError {}

/// The name of a record in a store: a digest of namespace, scope and key.
///
/// So client input is never a raw store key, delimiters cannot cause collisions, and keys are never
/// case-folded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorageKey([u8; 32]);

impl StorageKey {
    /// Digests the three parts, each preceded by its length.
    ///
    /// With a secret the digest is keyed (BLAKE3's keyed mode). A reader of the store then cannot
    /// test guesses of scopes and keys.
    pub fn derive(
        secret: Option<&[u8; 32]>,
        namespace: &str,
        scope: &Scope,
        key: &IdempotencyKey,
    ) -> Self {
        let mut framed = Framed::new("storage key 1");
        framed.field(namespace.as_bytes());
        framed.field(scope.as_bytes());
        framed.field(key.0.as_bytes());
        Self(*framed.finish(secret).as_bytes())
    }

    /// A name that a store has written.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the digest, as stores use them.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// All 64 hexadecimal digits, in lower case. They begin with the 8 digits that logs show.
    pub fn to_hex(self) -> String {
        hex::text(&self.0)
    }

    /// The name with these 64 hexadecimal digits. `None` for any other text.
    pub fn from_hex(digits: &str) -> Option<Self> {
        hex::read(digits).map(Self)
    }

    /// Appends all 64 hexadecimal digits. So the name in a store starts with the digits that logs
    /// show.
    #[cfg(feature = "redis")]
    pub(crate) fn push_hex(self, name: &mut Vec<u8>) {
        hex::push(&self.0, name);
    }
}

/// The first 8 hexadecimal digits: enough to find a request in the logs, too few to be a key.
impl fmt::Display for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StorageKey({self}..)")
    }
}

#[cfg(test)]
mod tests;
