//! Encryption at rest: XChaCha20-Poly1305 under a ring of keys.

use std::fmt;

use bytes::Bytes;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::store::{StoreError, StoreErrorKind};

/// Id of the key, then the nonce.
const ID: usize = 4;
const NONCE: usize = 24;

/// The keys that encrypt responses before a store sees them. One key writes. Any number of other
/// keys only read. Each has a number.
///
/// The layer encrypts headers, body, trailers and request id of each response, with
/// XChaCha20-Poly1305 and a random nonce. The ciphertext is bound to the storage key, the
/// fingerprint, the status, and whether the response is a success or a failure. So a response that
/// is moved to another record cannot be read there.
///
/// These stay readable: the status, the length of the response, and the digests that are the
/// storage key and the fingerprint. With [`secret`](crate::IdempotencyLayer::secret) the digests
/// are keyed, so a reader of the store cannot try out guesses against them.
///
/// If a response cannot be decrypted, its request gets 503 and does not run again. A failed attempt
/// still runs again under [`OnFailed::Rerun`](crate::OnFailed), because its response is not needed.
///
/// To change the key without losing a record, first let every process read the new key, then write
/// it. Remove the old key one retention after the last process that writes it has ended. The
/// longest retention of any [`ResponseDirective`](crate::ResponseDirective) counts, and PostgreSQL
/// adds up to 1.6 %:
///
/// ```
/// use tower_idempotency::EncryptionKeys;
///
/// # let (january, february) = ([1; 32], [2; 32]);
/// let before = EncryptionKeys::new(1, january);
/// let first = EncryptionKeys::new(1, january).reading(2, february)?;
/// let then = EncryptionKeys::new(2, february).reading(1, january)?;
/// let at_last = EncryptionKeys::new(2, february);
/// # drop((before, first, then, at_last));
/// # Ok::<(), tower_idempotency::RepeatedKeyId>(())
/// ```
///
/// A record that is not encrypted is rejected. [`accept_plain`](Self::accept_plain) is for the time
/// in which you turn encryption on.
#[derive(Clone)]
pub struct EncryptionKeys {
    id: u32,
    cipher: XChaCha20Poly1305,
    reading: Vec<(u32, XChaCha20Poly1305)>,
    accepts_plain: bool,
    /// The key that writes is 32 zero bytes.
    is_zero: bool,
}

impl EncryptionKeys {
    /// A ring of one key, which reads and writes. The number identifies the key in the store: give
    /// each key its own number.
    pub fn new(id: u32, key: [u8; 32]) -> Self {
        let is_zero = key == [0; 32];
        Self { id, cipher: cipher(key), reading: Vec::new(), accepts_plain: false, is_zero }
    }

    /// Adds a key that only reads.
    ///
    /// # Errors
    ///
    /// If the ring has a key with this number already. Responses encrypted under the second key
    /// could not be read.
    pub fn reading(mut self, id: u32, key: [u8; 32]) -> Result<Self, RepeatedKeyId> {
        let cipher = cipher(key);
        if self.cipher(id).is_some() {
            return Err(RepeatedKeyId { id });
        }
        self.reading.push((id, cipher));
        Ok(self)
    }

    /// Replays responses that are not encrypted. Default: they are rejected with 503 and the error
    /// [`Decrypt`](StoreErrorKind::Decrypt), and are not run again.
    ///
    /// Use it while encryption is turned on for a store that has records. Remove it one retention
    /// after the last process without the key has ended. The longest retention of any
    /// [`ResponseDirective`](crate::ResponseDirective) counts, and PostgreSQL adds up to 1.6 %.
    /// Until that process has ended, it gives 503 for encrypted records.
    ///
    /// With it, anyone who can write into the store can forge a response, and the layer replays it.
    #[must_use]
    pub fn accept_plain(self) -> Self {
        Self { accepts_plain: true, ..self }
    }

    pub(super) fn accepts_plain(&self) -> bool {
        self.accepts_plain
    }

    pub(super) fn is_zero(&self) -> bool {
        self.is_zero
    }

    pub(super) fn seal(&self, aad: &[u8], frame: &[u8]) -> Result<Bytes, StoreError> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce)
            .map_err(|error| StoreError::with_source(StoreErrorKind::Unavailable, error))?;
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: frame, aad })
            .map_err(|error| StoreError::with_source(StoreErrorKind::Decrypt, error))?;
        let mut packed = Vec::with_capacity(1 + ID + NONCE + sealed.len());
        packed.push(b'E');
        packed.extend_from_slice(&self.id.to_be_bytes());
        packed.extend_from_slice(&nonce);
        packed.extend_from_slice(&sealed);
        Ok(packed.into())
    }

    pub(super) fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Bytes, StoreError> {
        let unreadable = || StoreError::new(StoreErrorKind::Decrypt);
        let (id, rest) = sealed.split_first_chunk::<ID>().ok_or_else(unreadable)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or_else(unreadable)?;
        let cipher = self.cipher(u32::from_be_bytes(*id)).ok_or_else(unreadable)?;
        let opened = cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad });
        opened
            .map(Bytes::from)
            .map_err(|error| StoreError::with_source(StoreErrorKind::Decrypt, error))
    }

    fn cipher(&self, id: u32) -> Option<&XChaCha20Poly1305> {
        if id == self.id {
            return Some(&self.cipher);
        }
        self.reading.iter().find(|(reading, _)| *reading == id).map(|(_, cipher)| cipher)
    }
}

/// The cipher wipes its own copy of the key when it is dropped.
fn cipher(key: [u8; 32]) -> XChaCha20Poly1305 {
    let key = Zeroizing::new(key);
    XChaCha20Poly1305::new((&*key).into())
}

/// Two keys of a ring have the same number. See [`EncryptionKeys::reading`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepeatedKeyId {
    id: u32,
}

impl fmt::Display for RepeatedKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the ring of encryption keys has a key with the number {} already", self.id)
    }
}

impl std::error::Error for RepeatedKeyId {}

/// Shows the numbers of the keys, never the keys.
impl fmt::Debug for EncryptionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reading: Vec<_> = self.reading.iter().map(|(id, _)| id).collect();
        f.debug_struct("EncryptionKeys")
            .field("id", &self.id)
            .field("reading", &reading)
            .field("accepts_plain", &self.accepts_plain)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
