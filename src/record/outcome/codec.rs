//! The binary frame of an [`Outcome`]. Numbers of variable length are LEB128.
//!
//! ```text
//! version:u8  status:u16be  contents:u8  request id?  headers  trailers?  fields?  length of the body  body
//! headers, trailers = count, then per line: name, length of the value, value
//! name              = number of a known name, or 0, length, bytes; the number + 64 if the value is sensitive
//! fields            = see `Writer::fields`
//! ```
//!
//! `contents` has the kind of body in its lower half, and a bit for each part that may be missing.
//!
//! # How the frame grows
//!
//! A new field gets a tag, and is written into `fields`. A frame without fields has no byte for
//! them. A reader leaves out an even tag that it does not know. It rejects the frame if the tag is
//! odd. So both versions of the crate can share a store while a service is updated. A new version
//! byte is only needed if a part before `fields` changes.

use bytes::Bytes;
use http::StatusCode;

use super::kind::Kind;
use super::{Outcome, StoredBody};
use crate::record::frame::{DecodeError, Field, Reader, Writer};

#[cfg(feature = "redis")]
pub(super) mod glance;

const VERSION: u8 = 1;

/// The bits of `contents`.
mod contents {
    pub(super) const KIND: u8 = 0b0000_1111;
    pub(super) const TRAILERS: u8 = 0b0001_0000;
    pub(super) const REQUEST_ID: u8 = 0b0010_0000;
    /// The request id is sensitive.
    pub(super) const SENSITIVE_ID: u8 = 0b0100_0000;
    pub(super) const FIELDS: u8 = 0b1000_0000;
}

/// Reads the version and the status. Returns the status and the contents.
fn start(reader: &mut Reader) -> Result<(StatusCode, u8), DecodeError> {
    if reader.byte()? != VERSION {
        return Err(DecodeError);
    }
    let status = u16::from_be_bytes([reader.byte()?, reader.byte()?]);
    let status = StatusCode::from_u16(status).map_err(|_| DecodeError)?;
    Ok((status, reader.byte()?))
}

impl Outcome {
    /// Writes the frame, body and all.
    pub fn encode(&self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(self.size_hint() + self.bytes().len());
        self.encode_head(&mut frame);
        frame.extend_from_slice(self.bytes());
        frame
    }

    /// Writes the frame without the bytes of the body. A store that stores large bodies apart uses
    /// it.
    pub(crate) fn encode_head(&self, frame: &mut Vec<u8>) {
        // A field that is added to `Outcome` is written here.
        self.write(&[], frame);
    }

    fn write(&self, fields: &[Field<'_>], frame: &mut Vec<u8>) {
        let trailers = self.body.trailers();
        let mut contents = self.body.kind().number();
        if trailers.is_some() {
            contents |= contents::TRAILERS;
        }
        if let Some(id) = &self.request_id {
            contents |= contents::REQUEST_ID;
            if id.is_sensitive() {
                contents |= contents::SENSITIVE_ID;
            }
        }
        if !fields.is_empty() {
            contents |= contents::FIELDS;
        }
        let mut writer = Writer::new(frame);
        writer.bytes(&[VERSION]);
        writer.bytes(&self.status.as_u16().to_be_bytes());
        writer.bytes(&[contents]);
        if let Some(id) = &self.request_id {
            writer.sized(id.as_bytes());
        }
        writer.headers(&self.headers);
        if let Some(trailers) = trailers {
            writer.headers(trailers);
        }
        if !fields.is_empty() {
            writer.fields(fields);
        }
        writer.number(self.bytes().len());
    }

    /// A guess, on the large side, at the length of the frame without the body.
    pub(crate) fn size_hint(&self) -> usize {
        64 + 48 * self.headers.len()
    }

    /// Reads a frame. The body is a slice of `frame`, not a copy.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the frame is cut short, too long, not a valid response, or one that this
    /// version of the crate does not know.
    pub fn decode(frame: Bytes) -> Result<Self, DecodeError> {
        match Self::decode_head(frame)? {
            (outcome, 0) => Ok(outcome),
            _ => Err(DecodeError),
        }
    }

    /// Reads a frame whose body may be missing. Returns how many bytes are then to be supplied to
    /// [`with_bytes`](Self::with_bytes).
    pub(crate) fn decode_head(frame: Bytes) -> Result<(Self, usize), DecodeError> {
        // A field that is added to `Outcome` is read here.
        Self::read(frame, |_, _| Ok(false))
    }

    /// Calls `field` with the tag and the value of each field. It says whether it knows the tag.
    fn read(
        frame: Bytes,
        field: impl FnMut(usize, &[u8]) -> Result<bool, DecodeError>,
    ) -> Result<(Self, usize), DecodeError> {
        let mut reader = Reader::new(frame);
        let (status, contents) = start(&mut reader)?;
        let kind = Kind::of_number(contents & contents::KIND)?;
        let request_id = match (contents & contents::REQUEST_ID, contents & contents::SENSITIVE_ID)
        {
            (0, 0) => None,
            (0, _) => return Err(DecodeError),
            (_, sensitive) => {
                let mut id = reader.value()?;
                id.set_sensitive(sensitive != 0);
                Some(id)
            }
        };
        let headers = reader.headers()?;
        let trailers = match contents & contents::TRAILERS {
            0 => None,
            _ => Some(reader.headers()?),
        };
        if contents & contents::FIELDS != 0 {
            reader.fields(field)?;
        }
        let length = reader.number()?;
        let bytes = reader.rest();
        let missing = match bytes.len() {
            present if present == length => 0,
            0 => length,
            _ => return Err(DecodeError),
        };
        let bytes = (kind.has_bytes() || length > 0).then_some(bytes);
        let body = StoredBody::of_kind(kind, bytes, trailers)?;
        Ok((Self { status, headers, request_id, body }, missing))
    }
}

#[cfg(test)]
mod tests;
