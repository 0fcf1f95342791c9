//! Derives keys from the operation itself.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::record::key::IdempotencyKey;

/// Separates these keys from digests for another purpose or of another version.
const LABEL: &[u8] = b"tower-idempotency derived key v1\0";

/// Derives the key of an operation from the operation itself, so that a client that has lost its
/// data derives the same key again.
///
/// Two calls return the same key only if user, action, window and content are all equal. The server
/// treats two such operations as one. If they are different, put the difference into the action or
/// the content, for example the number of an order or the line of a batch.
///
/// A retry in the next [`TimeWindow`] has another key, and is a new operation. If a retry can be
/// that late, use an [`Operation`](super::Operation), or [`TimeWindow::ALWAYS`].
///
/// # The construction
///
/// The key is lower-case hexadecimal SHA-256 over the label `tower-idempotency derived key v1`, a
/// zero byte and four fields: `user`, `action`, the window, `content`. Each field follows its
/// length in bytes, an unsigned 64-bit big-endian number. Text is its UTF-8 bytes, without
/// normalization.
///
/// The window is 16 bytes: its length in milliseconds and its index since 1970, each as such a
/// number. Both are zero for [`TimeWindow::ALWAYS`]. The SDK for TypeScript derives the same keys,
/// and one file of vectors tests both.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use tower_idempotency::client::{TimeWindow, derive_key};
///
/// let today = TimeWindow::containing(SystemTime::now(), Duration::from_secs(24 * 60 * 60));
/// let key = derive_key("user-7", "pay invoice 2026-113", today, r#"{"amount":1200}"#);
/// assert_eq!(key.as_str().len(), 64);
/// ```
pub fn derive_key(
    user: impl AsRef<[u8]>,
    action: impl AsRef<[u8]>,
    window: TimeWindow,
    content: impl AsRef<[u8]>,
) -> IdempotencyKey {
    let window = [window.length.to_be_bytes(), window.index.to_be_bytes()].concat();
    let mut digest = Sha256::new_with_prefix(LABEL);
    for field in [user.as_ref(), action.as_ref(), &window, content.as_ref()] {
        digest.update((field.len() as u64).to_be_bytes());
        digest.update(field);
    }
    IdempotencyKey::made(format!("{:x}", Bytes::copy_from_slice(&digest.finalize())))
}

/// A period in which the same request is the same operation, for [`derive_key`].
///
/// Windows of one length follow each other from 1970-01-01T00:00:00Z on, by the client's clock and
/// in any time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeWindow {
    /// In milliseconds.
    length: u64,
    index: u64,
}

impl TimeWindow {
    /// All of time. The same request is the same operation as long as the server remembers it.
    pub const ALWAYS: Self = Self { length: 0, index: 0 };

    /// The window that contains a moment. The length counts in whole milliseconds.
    ///
    /// A length below a millisecond means [`ALWAYS`](Self::ALWAYS). A moment before 1970 is in the
    /// first window.
    pub fn containing(moment: SystemTime, length: Duration) -> Self {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let (length, moment) =
            (millis(length), moment.duration_since(UNIX_EPOCH).unwrap_or_default());
        let index = millis(moment).checked_div(length);
        index.map_or(Self::ALWAYS, |index| Self { length, index })
    }
}

#[cfg(test)]
mod tests;
