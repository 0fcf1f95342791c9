//! Compression and encryption of a response before a store sees it, and the way back.
//!
//! The store sees an [`Outcome`] whose body is [`Packed`](StoredBody::Packed): one frame. Its first
//! byte says how it was packed.
//!
//! ```text
//! 'P' frame of the outcome
//! 'C' length of the frame:LEB128  deflated frame of the outcome
//! 'E' id of the key:u32be  nonce:24  a 'P' or 'C' frame under XChaCha20-Poly1305
//! ```
//!
//! A frame that is only compressed contains the body. Status, headers and request id stay readable
//! in the store. An encrypted frame contains everything except the status.

use bytes::Bytes;

use crate::record::fingerprint::Fingerprint;
use crate::record::key::StorageKey;
use crate::record::outcome::{NotRetained, Outcome, StoredBody};
use crate::store::{Record, State, StoreError, StoreErrorKind};

#[cfg_attr(not(feature = "compression"), path = "pack/compression/off.rs")]
mod compression;
#[cfg_attr(not(feature = "encryption"), path = "pack/encryption/off.rs")]
mod encryption;
#[cfg(all(test, any(feature = "compression", feature = "encryption")))]
mod given;

use compression::Inflated;
#[cfg_attr(not(feature = "encryption"), allow(unreachable_pub))] // Nothing to export then.
pub use encryption::EncryptionKeys;
#[cfg(feature = "encryption")]
pub use encryption::RepeatedKeyId;

/// How responses are packed. By default they are not.
#[derive(Clone, Default)]
pub(crate) struct Packing {
    /// Bodies of more bytes are compressed, if that makes them smaller.
    pub(crate) compress_above: Option<usize>,
    pub(crate) encryption: Option<EncryptionKeys>,
}

/// The record that a response belongs to. A response encrypted for one record cannot be read under
/// another.
pub(crate) struct Of {
    pub(crate) key: StorageKey,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) is_failure: bool,
}

impl Packing {
    /// The outcome for the store. `None`: the outcome as it is.
    ///
    /// # Errors
    ///
    /// If the system gives no random bytes.
    pub(crate) fn pack(
        &self,
        of: &Of,
        outcome: &Outcome,
    ) -> Result<Option<Box<Outcome>>, StoreError> {
        let Some(keys) = &self.encryption else {
            let body = || Outcome::new(outcome.status, outcome.body.clone());
            let compressed =
                self.is_large(outcome).then(|| compression::deflate(&body())).flatten();
            return Ok(compressed.map(|frame| {
                Box::new(Outcome { body: StoredBody::Packed(frame), ..outcome.clone() })
            }));
        };
        let compressed = self.is_large(outcome).then(|| compression::deflate(outcome)).flatten();
        let frame = compressed.map_or_else(|| plain(outcome), Vec::from);
        let sealed = keys.seal(&of.bytes(outcome), &frame)?;
        let body = match outcome.body {
            StoredBody::NotRetained(_) => StoredBody::PackedNotRetained(sealed),
            _ => StoredBody::Packed(sealed),
        };
        Ok(Some(Box::new(Outcome::new(outcome.status, body))))
    }

    fn is_large(&self, outcome: &Outcome) -> bool {
        self.compress_above.is_some_and(|above| outcome.bytes().len() > above)
    }

    /// Unpacks the response in a record. A body of more than `limit` bytes counts as not retained.
    ///
    /// # Errors
    ///
    /// - [`StoreErrorKind::Decrypt`] if the key is missing, or if the response was encrypted for
    ///   another record or was changed.
    /// - [`StoreErrorKind::Corrupt`] if the body is not a frame.
    pub(crate) fn unpack(
        &self,
        key: StorageKey,
        record: &mut Record,
        limit: usize,
    ) -> Result<(), StoreError> {
        let fingerprint = record.fingerprint;
        let (outcome, is_failure) = match &mut record.state {
            State::Success(outcome) => (outcome, false),
            State::Failed(Some(outcome)) => (outcome, true),
            State::Pending { .. } | State::Failed(None) => return Ok(()),
        };
        if let StoredBody::Packed(frame) | StoredBody::PackedNotRetained(frame) = &outcome.body {
            *outcome = self.open(&Of { key, fingerprint, is_failure }, outcome, frame, limit)?;
            return Ok(());
        }
        // A record that a release has put back has the status of a failure and nothing else.
        if is_failure && outcome.body == StoredBody::NotRetained(NotRetained::Failure) {
            *outcome = Outcome::new(outcome.status, StoredBody::NotRetained(NotRetained::Failure));
            return Ok(());
        }
        self.check_plain()
    }

    fn open(
        &self,
        of: &Of,
        outcome: &Outcome,
        frame: &Bytes,
        limit: usize,
    ) -> Result<Outcome, StoreError> {
        let opened = match (frame.first(), &self.encryption) {
            (Some(b'E'), Some(keys)) => Some(keys.open(&of.bytes(outcome), &frame[1..])?),
            (Some(b'E'), None) => return Err(StoreError::new(StoreErrorKind::Decrypt)),
            _ => None,
        };
        let is_sealed = opened.is_some();
        let frame = opened.unwrap_or_else(|| frame.clone());
        let inner = match frame.first() {
            Some(b'P') => frame.slice(1..),
            Some(b'C') => match compression::inflate(frame.slice(1..), limit)? {
                Inflated::Whole(frame) => frame,
                Inflated::TooLarge => {
                    let body = StoredBody::NotRetained(NotRetained::TooLarge);
                    return Ok(Outcome { body, ..outcome.clone() });
                }
            },
            _ => return Err(StoreError::new(StoreErrorKind::Corrupt)),
        };
        let inner = Outcome::decode(inner)
            .map_err(|error| StoreError::with_source(StoreErrorKind::Corrupt, error))
            .and_then(|inner| match inner.body {
                StoredBody::Packed(_) | StoredBody::PackedNotRetained(_) => {
                    Err(StoreError::new(StoreErrorKind::Corrupt))
                }
                _ => Ok(inner),
            })?;
        if is_sealed {
            return Ok(inner);
        }
        self.check_plain()?;
        Ok(Outcome { body: inner.body, ..outcome.clone() })
    }

    /// A response that is not encrypted is readable only if the keys allow it.
    fn check_plain(&self) -> Result<(), StoreError> {
        if self.accepts_plain() { Ok(()) } else { Err(StoreError::new(StoreErrorKind::Decrypt)) }
    }

    /// Whether the key that writes is 32 zero bytes, as an array that was never filled.
    pub(crate) fn is_encrypted_with_zeros(&self) -> bool {
        self.encryption.as_ref().is_some_and(EncryptionKeys::is_zero)
    }

    /// Whether a record that is not encrypted is replayed.
    pub(crate) fn accepts_plain(&self) -> bool {
        self.encryption.as_ref().is_none_or(EncryptionKeys::accepts_plain)
    }
}

impl Of {
    /// The associated data of an encrypted response: the version of its frame, and its record. All
    /// fields have a fixed size.
    fn bytes(&self, outcome: &Outcome) -> Vec<u8> {
        let mut bytes = b"tower-idempotency outcome 1".to_vec();
        bytes.extend_from_slice(self.key.as_bytes());
        bytes.extend_from_slice(&self.fingerprint.to_bytes());
        bytes.push(u8::from(self.is_failure));
        bytes.extend_from_slice(&outcome.status.as_u16().to_be_bytes());
        bytes
    }
}

fn plain(outcome: &Outcome) -> Vec<u8> {
    let mut frame = vec![b'P'];
    frame.extend_from_slice(&outcome.encode());
    frame
}
