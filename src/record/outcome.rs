//! The [`Outcome`]: the answer that is kept for a finished request, and its versioned binary frame.
//!
//! Frame, version 1; numbers of variable length are LEB128:
//!
//! ```text
//! version:u8  status:u16be  what is kept:u8  request id?  headers  trailers?  length of the body  body
//! headers, trailers = count, then per line: name, length of the value, value
//! name              = number of a known name, or 0, length, bytes; the number + 64 if the value is sensitive
//! ```

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::frame::{DecodeError, Reader, Writer};

/// The answer that is kept for a finished request: everything that a replay needs, and nothing that must not be kept.
///
/// `Debug` shows the status, the number of headers and the length of the body, and nothing else.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// The status that the handler gave.
    pub status: StatusCode,
    /// The safe headers, repeated ones in their order.
    pub headers: HeaderMap,
    /// The request id under which the answer was first given, if it is visible ASCII of at most 128 bytes.
    pub request_id: Option<HeaderValue>,
    /// The body, or why there is none.
    pub body: StoredBody,
}

/// What is kept of the body of an answer.
///
/// `Debug` shows lengths only.
#[derive(Clone, PartialEq, Eq)]
pub enum StoredBody {
    /// All of it.
    Whole {
        /// The bytes of all frames, joined.
        bytes: Bytes,
        /// The trailers that followed them.
        trailers: Option<HeaderMap>,
    },
    /// Nothing, because the layer was told to keep less than all: a repeat gets the status and the headers that were
    /// kept, and is told that the body was left out.
    Omitted,
    /// The answer as the layer has compressed or encrypted it. Only the layer reads it.
    Packed(Bytes),
    /// Nothing; a repeat is refused, for it can neither be replayed nor run again.
    NotRetained(NotRetained),
}

impl StoredBody {
    /// What is left of the body under a limit. `None` is for a response whose body is not stored.
    pub(crate) fn within(self, limit: Option<usize>) -> Self {
        match (limit, self) {
            (None, _) => Self::NotRetained(NotRetained::Failure),
            (Some(limit), Self::Whole { bytes, .. }) if bytes.len() > limit => {
                Self::NotRetained(NotRetained::TooLarge)
            }
            (Some(_), body) => body,
        }
    }
}

/// Why the body of an answer was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotRetained {
    /// It was larger than the limit.
    TooLarge,
    /// Its length was not known before its end.
    Streamed,
    /// The attempt failed, and failures are not replayed here.
    Failure,
    /// It was kept, but the store has lost it.
    Lost,
    /// The layer was told to keep nothing of it.
    Withheld,
    /// The store rejected it.
    Rejected,
    /// It did not end in time.
    Stalled,
}

const VERSION: u8 = 1;

/// The byte that says what is stored: the kind of body in its lower half, and flags.
mod kept {
    pub(crate) const BODY: u8 = 0b0000_1111;
    pub(crate) const TRAILERS: u8 = 0b0001_0000;
    pub(crate) const REQUEST_ID: u8 = 0b0010_0000;
    /// The request id is sensitive.
    pub(crate) const SENSITIVE_ID: u8 = 0b0100_0000;
    pub(crate) const ALL: u8 = BODY | TRAILERS | REQUEST_ID | SENSITIVE_ID;

    pub(crate) const WHOLE: u8 = 0;
    pub(crate) const OMITTED: u8 = 6;
    pub(crate) const PACKED: u8 = 7;
}

impl NotRetained {
    /// Each with the kind of body that it is in a frame, and its word in a table.
    const ALL: [(Self, u8, &'static str); 7] = [
        (Self::TooLarge, 1, "too large"),
        (Self::Streamed, 2, "streamed"),
        (Self::Failure, 3, "failure"),
        (Self::Lost, 4, "lost"),
        (Self::Withheld, 5, "withheld"),
        (Self::Rejected, 8, "rejected"),
        (Self::Stalled, 9, "stalled"),
    ];

    fn kind(self) -> u8 {
        Self::ALL.iter().find(|(reason, ..)| *reason == self).map_or(kept::BODY, |(_, kind, _)| *kind)
    }

    fn of_kind(kind: u8) -> Result<Self, DecodeError> {
        Self::ALL.iter().find(|(_, known, _)| *known == kind).map(|(reason, ..)| *reason).ok_or(DecodeError)
    }

    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn word(self) -> &'static str {
        Self::ALL.iter().find(|(reason, ..)| *reason == self).map_or("", |(.., word)| *word)
    }

    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn of_word(word: &str) -> Result<Self, DecodeError> {
        Self::ALL.iter().find(|(.., known)| *known == word).map(|(reason, ..)| *reason).ok_or(DecodeError)
    }
}

impl Outcome {
    /// A response with a status and a body only.
    pub fn new(status: StatusCode, body: StoredBody) -> Self {
        Self { status, headers: HeaderMap::new(), request_id: None, body }
    }

    /// Sets the [headers](Self::headers). Default: none.
    #[must_use]
    pub fn headers(self, headers: HeaderMap) -> Self {
        Self { headers, ..self }
    }

    /// Sets the [request id](Self::request_id). Default: none.
    #[must_use]
    pub fn request_id(self, request_id: impl Into<Option<HeaderValue>>) -> Self {
        Self { request_id: request_id.into(), ..self }
    }

    /// The bytes of the body as far as they are kept.
    pub fn bytes(&self) -> &[u8] {
        match &self.body {
            StoredBody::Whole { bytes, .. } | StoredBody::Packed(bytes) => bytes,
            StoredBody::Omitted | StoredBody::NotRetained(_) => &[],
        }
    }

    /// Whether a repeat gets it: all of it, or what was meant to be kept.
    pub(crate) fn is_replayable(&self) -> bool {
        matches!(self.body, StoredBody::Whole { .. } | StoredBody::Omitted)
    }

    /// Whether the status is one of a final response. Only such a status is stored and replayed: 1xx is
    /// interim, and above 599 there is no class (RFC 9110, section 15).
    pub(crate) fn has_final_status(&self) -> bool {
        (200..600).contains(&self.status.as_u16())
    }

    /// Writes the frame, body and all.
    pub fn encode(&self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(self.size_hint() + self.bytes().len());
        self.encode_head(&mut frame);
        frame.extend_from_slice(self.bytes());
        frame
    }

    /// Writes the frame without the bytes of the body, for a store that keeps large bodies by themselves.
    pub(crate) fn encode_head(&self, frame: &mut Vec<u8>) {
        let (body, trailers) = match &self.body {
            StoredBody::Whole { trailers, .. } => (kept::WHOLE, trailers.as_ref()),
            StoredBody::Omitted => (kept::OMITTED, None),
            StoredBody::Packed(_) => (kept::PACKED, None),
            StoredBody::NotRetained(reason) => (reason.kind(), None),
        };
        let mut what = body;
        if trailers.is_some() {
            what |= kept::TRAILERS;
        }
        if let Some(id) = &self.request_id {
            what |= kept::REQUEST_ID;
            if id.is_sensitive() {
                what |= kept::SENSITIVE_ID;
            }
        }
        let mut writer = Writer::new(frame);
        writer.bytes(&[VERSION]);
        writer.bytes(&self.status.as_u16().to_be_bytes());
        writer.bytes(&[what]);
        if let Some(id) = &self.request_id {
            writer.sized(id.as_bytes());
        }
        writer.headers(&self.headers);
        if let Some(trailers) = trailers {
            writer.headers(trailers);
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
    /// [`DecodeError`] if the frame is cut short, too long, of an unknown version, or not a valid answer.
    pub fn decode(frame: Bytes) -> Result<Self, DecodeError> {
        match Self::decode_head(frame)? {
            (outcome, 0) => Ok(outcome),
            _ => Err(DecodeError),
        }
    }

    /// Reads a frame whose body may be missing; tells how many bytes are then to be supplied to
    /// [`with_bytes`](Self::with_bytes).
    pub(crate) fn decode_head(frame: Bytes) -> Result<(Self, usize), DecodeError> {
        let mut reader = Reader::new(frame);
        if reader.byte()? != VERSION {
            return Err(DecodeError);
        }
        let status = u16::from_be_bytes([reader.byte()?, reader.byte()?]);
        let status = StatusCode::from_u16(status).map_err(|_| DecodeError)?;
        let what = reader.byte()?;
        if what & !kept::ALL != 0 {
            return Err(DecodeError);
        }
        let request_id = match (what & kept::REQUEST_ID, what & kept::SENSITIVE_ID) {
            (0, 0) => None,
            (0, _) => return Err(DecodeError),
            (_, sensitive) => {
                let mut id = reader.value()?;
                id.set_sensitive(sensitive != 0);
                Some(id)
            }
        };
        let headers = reader.headers()?;
        let trailers = match what & kept::TRAILERS {
            0 => None,
            _ => Some(reader.headers()?),
        };
        let length = reader.number()?;
        let bytes = reader.rest();
        let missing = match bytes.len() {
            present if present == length => 0,
            0 => length,
            _ => return Err(DecodeError),
        };
        let body = match what & kept::BODY {
            kept::WHOLE => StoredBody::Whole { bytes, trailers },
            kept::PACKED if trailers.is_none() => StoredBody::Packed(bytes),
            _ if length > 0 || trailers.is_some() => return Err(DecodeError),
            kept::OMITTED => StoredBody::Omitted,
            kind => StoredBody::NotRetained(NotRetained::of_kind(kind)?),
        };
        Ok((Self { status, headers, request_id, body }, missing))
    }

    /// Puts the body in place that stood apart from the frame; `None` if it is gone.
    #[cfg(feature = "redis")]
    pub(crate) fn with_bytes(mut self, supplied: Option<Bytes>) -> Self {
        match (&mut self.body, supplied) {
            (StoredBody::Whole { bytes, .. } | StoredBody::Packed(bytes), Some(supplied)) => {
                *bytes = supplied;
            }
            (body, _) => *body = StoredBody::NotRetained(NotRetained::Lost),
        }
        self
    }
}

/// A response contains secrets, and a log is the wrong place for them.
impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome")
            .field("status", &self.status)
            .field("headers", &self.headers.len())
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for StoredBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole { bytes, trailers } => {
                let trailers = trailers.as_ref().map_or(0, HeaderMap::len);
                write!(f, "Whole({} bytes, {trailers} trailers)", bytes.len())
            }
            Self::Omitted => f.write_str("Omitted"),
            Self::Packed(bytes) => write!(f, "Packed({} bytes)", bytes.len()),
            Self::NotRetained(reason) => write!(f, "NotRetained({reason:?})"),
        }
    }
}

#[cfg(test)]
mod tests;
