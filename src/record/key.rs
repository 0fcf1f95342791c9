//! What the client sent (the [`IdempotencyKey`]), whose it is (the [`Scope`]), and the name under
//! which stores know both (the [`StorageKey`]).
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

#[cfg(feature = "client")]
mod made;
mod scope;
#[cfg(feature = "strict-keys")]
mod strict;

pub use scope::{Scope, ScopeDigest};

/// The key that the client chose for one operation: 1 to 255 bytes of visible ASCII, quotes taken
/// off. In strict mode (`IdempotencyKey::parse_strict`) it may contain spaces too.
///
/// `Debug` tells the length only: keys are the client's secret and stay out of logs.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Arc<str>);

impl IdempotencyKey {
    /// The longest key, in bytes, without its quotes.
    pub const MAX_LEN: usize = 255;

    /// Parses the value of the header, bare (`abc`) or as a quoted RFC 9651 String (`"abc"`): both
    /// are one key.
    ///
    /// # Errors
    ///
    /// Says why the value cannot be a key. Nothing is trimmed, cut or folded to make it fit.
    pub fn parse(value: &[u8]) -> Result<Self, KeyError> {
        match value {
            [b'"', inner @ .., b'"'] => Self::bare(&unescape(inner)?),
            [b'"', ..] => Err(KeyError::Quoting),
            bare => Self::bare(bare),
        }
    }

    /// A key as it is, where quotes are no quotes.
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

    /// The key as text. Do not give it to other systems, because two tenants may choose the same key:
    /// use [`Attempt::downstream_key`](crate::Attempt::downstream_key).
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether an RFC 9651 String may contain the byte: visible ASCII or a space.
#[cfg(any(feature = "strict-keys", feature = "client"))]
fn is_of_string(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// Takes the escapes of an RFC 9651 String away: only `\"` and `\\` exist.
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

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdempotencyKey({} bytes)", self.0.len())
    }
}

/// Why a header value is not an idempotency key. No message repeats the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The value is empty, or an empty String (`""`).
    Empty,
    /// The key has more than [`IdempotencyKey::MAX_LEN`] bytes.
    TooLong {
        /// How many bytes it has.
        len: usize,
    },
    /// A byte is not visible ASCII (0x21 to 0x7E): a space, a control byte, or a byte beyond ASCII.
    /// In strict mode a space is part of the key, and anything else is
    /// [`NotAString`](Self::NotAString).
    NotVisibleAscii,
    /// The value starts with a quote but is not one whole RFC 9651 String.
    Quoting,
    /// Strict mode: the value is not an RFC 9651 Item whose value is a String.
    NotAString,
    /// The header stands in the request more than once.
    Repeated,
    /// The key stands in several places, headers or the body, and differs between them.
    Conflicting,
    /// The member of the body that holds the key is not a string.
    NotText,
    /// The body holds a member twice, so that nobody can say which key it has.
    Ambiguous,
    /// The body is JSON of which a part is not read (too deep, more than 10,000 values, a number
    /// out of range, a string that is not UTF-8), or it is compressed. Another reader may find a
    /// key in it.
    Unreadable,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the idempotency key is empty"),
            Self::TooLong { len } => {
                write!(f, "the idempotency key has {len} bytes, more than {}", IdempotencyKey::MAX_LEN)
            }
            Self::NotVisibleAscii => f.write_str("the idempotency key has bytes other than visible ASCII"),
            Self::Quoting => f.write_str("the quoted idempotency key is not one whole string"),
            Self::NotAString => f.write_str("the idempotency key is not an RFC 9651 String"),
            Self::Repeated => f.write_str("the idempotency key header stands in the request more than once"),
            Self::Conflicting => {
                f.write_str("the request carries different idempotency keys in different places")
            }
            Self::NotText => f.write_str("the idempotency key in the body is not a string"),
            Self::Ambiguous => f.write_str("the body that carries the idempotency key holds a member twice"),
            Self::Unreadable => {
                f.write_str("the body that may carry the idempotency key cannot be read whole")
            }
        }
    }
}

impl std::error::Error for KeyError {}

/// The name of a record in a store: a digest of namespace, scope and key.
///
/// No client input is ever a raw store key, nothing collides by a delimiter, and no key is
/// case-folded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorageKey([u8; 32]);

impl StorageKey {
    /// Digests the three parts, each behind its length. With a secret the digest is keyed (BLAKE3's
    /// keyed mode), so that a reader of the store cannot try out guesses of scopes and keys.
    pub fn derive(secret: Option<&[u8; 32]>, namespace: &str, scope: &Scope, key: &IdempotencyKey) -> Self {
        let mut framed = Framed::new("storage key 1");
        framed.field(namespace.as_bytes());
        framed.field(scope.as_bytes());
        framed.field(key.0.as_bytes());
        Self(*framed.finish(secret).as_bytes())
    }

    /// The digest, as stores keep it.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(feature = "redis")]
impl StorageKey {
    /// Appends all 64 hexadecimal digits. A name in a store then begins with the digits that
    /// logs show.
    pub(crate) fn push_hex(self, name: &mut Vec<u8>) {
        name.extend_from_slice(blake3::Hash::from_bytes(self.0).to_hex().as_bytes());
    }
}

/// The first 8 hexadecimal digits: enough to find a request again in the logs, too few to be a key.
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
