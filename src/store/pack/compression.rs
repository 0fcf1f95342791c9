//! Compression at rest: deflate, with a limit for the decompressed size.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use crate::record::frame::{DecodeError, Reader, Writer};
use crate::record::outcome::Outcome;
use crate::store::{StoreError, StoreErrorKind};

/// Bytes of a frame besides its body: headers and trailers.
const HEAD: usize = 64 << 10;

pub(super) enum Inflated {
    Whole(Bytes),
    TooLarge,
}

/// The compressed frame, if it is smaller.
pub(super) fn deflate(outcome: &Outcome) -> Option<Bytes> {
    let frame = outcome.encode();
    let mut packed = vec![b'C'];
    Writer::new(&mut packed).number(frame.len());
    let mut encoder = DeflateEncoder::new(packed, Compression::fast());
    encoder.write_all(&frame).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() <= frame.len()).then(|| packed.into())
}

/// Undoes [`deflate`]. It decompresses no body of more than `limit` bytes, and no frame that is
/// longer than its own length field.
pub(super) fn inflate(packed: Bytes, limit: usize) -> Result<Inflated, StoreError> {
    let mut reader = Reader::new(packed);
    let length =
        reader.number().map_err(|error| StoreError::with_source(StoreErrorKind::Corrupt, error))?;
    if length > limit.saturating_add(HEAD) {
        return Ok(Inflated::TooLarge);
    }
    let packed = reader.rest();
    let mut frame = Vec::with_capacity(length.min(packed.len().saturating_mul(8)));
    // One byte more than the length field shows that the field is too small.
    let most = u64::try_from(length).unwrap_or(u64::MAX).saturating_add(1);
    let read = DeflateDecoder::new(&*packed).take(most).read_to_end(&mut frame);
    match read {
        Ok(_) if frame.len() == length => Ok(Inflated::Whole(frame.into())),
        Ok(_) => Err(StoreError::with_source(StoreErrorKind::Corrupt, DecodeError)),
        Err(error) => Err(StoreError::with_source(StoreErrorKind::Corrupt, error)),
    }
}

#[cfg(test)]
mod tests;
