//! The [`Outcome`]: the response that is stored for a finished request.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::frame::DecodeError;

mod codec;
mod kind;

#[cfg(feature = "redis")]
pub(crate) use codec::glance::Glance;
pub(crate) use kind::Kind;
pub use kind::NotRetained;

/// The response that is stored for a finished request: all that a replay needs, and nothing that
/// must not be stored.
///
/// `Debug` shows the status, the number of headers and the length of the body, and nothing else.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// The status that the handler gave.
    pub status: StatusCode,
    /// The safe headers. Those with several values are in their order.
    pub headers: HeaderMap,
    /// The id of the first request, if it is visible ASCII of at most 128 bytes.
    pub request_id: Option<HeaderValue>,
    /// The body, or why there is none.
    pub body: StoredBody,
}

/// The stored part of the body of a response.
///
/// It is exhaustive on purpose. A store that writes the body into columns must write each kind, so
/// a new kind is an error of the compiler and not a body that is lost. `Debug` shows lengths only.
#[derive(Clone, PartialEq, Eq)]
pub enum StoredBody {
    /// All of it.
    Whole {
        /// The bytes of all frames, joined.
        bytes: Bytes,
        /// The trailers that followed them. Boxed, because few responses have any.
        trailers: Option<Box<HeaderMap>>,
    },
    /// Nothing, because the layer is set to store less. A retry gets the status and the stored
    /// headers, and is told that the body was left out.
    Omitted,
    /// The response as the layer has compressed or encrypted it. Only the layer reads it.
    Packed(Bytes),
    /// The encrypted rest of a response whose body is not stored. A retry is rejected. Operators see
    /// that without the key.
    PackedNotRetained(Bytes),
    /// Nothing. A retry is rejected, because it can be neither replayed nor run again.
    NotRetained(NotRetained),
}

impl StoredBody {
    /// The body of this kind.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if a part is missing that the kind has, or there is one that it does not
    /// have.
    pub(crate) fn of_kind(
        kind: Kind,
        bytes: Option<Bytes>,
        trailers: Option<HeaderMap>,
    ) -> Result<Self, DecodeError> {
        match (kind, bytes, trailers.map(Box::new)) {
            (Kind::Whole, Some(bytes), trailers) => Ok(Self::Whole { bytes, trailers }),
            (Kind::Packed, Some(bytes), None) => Ok(Self::Packed(bytes)),
            (Kind::PackedNotRetained, Some(bytes), None) => Ok(Self::PackedNotRetained(bytes)),
            (Kind::Omitted, None, None) => Ok(Self::Omitted),
            (Kind::NotRetained(reason), None, None) => Ok(Self::NotRetained(reason)),
            _ => Err(DecodeError),
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Whole { .. } => Kind::Whole,
            Self::Packed(_) => Kind::Packed,
            Self::PackedNotRetained(_) => Kind::PackedNotRetained,
            Self::Omitted => Kind::Omitted,
            Self::NotRetained(reason) => Kind::NotRetained(*reason),
        }
    }

    /// The bytes, if this kind has some.
    pub(crate) fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Whole { bytes, .. } | Self::Packed(bytes) | Self::PackedNotRetained(bytes) => {
                Some(bytes)
            }
            Self::Omitted | Self::NotRetained(_) => None,
        }
    }

    pub(crate) fn trailers(&self) -> Option<&HeaderMap> {
        match self {
            Self::Whole { trailers, .. } => trailers.as_deref(),
            Self::Packed(_) | Self::PackedNotRetained(_) | Self::Omitted | Self::NotRetained(_) => {
                None
            }
        }
    }

    /// The body that is stored under a limit. `None` is for a response whose body is not stored.
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

/// Whether a final response can have this status. Only such a status is stored and replayed: 1xx is
/// interim, and above 599 there is no class (RFC 9110, section 15).
pub(crate) fn is_final(status: StatusCode) -> bool {
    (200..600).contains(&status.as_u16())
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

    /// The stored bytes of the body.
    pub fn bytes(&self) -> &[u8] {
        self.body.bytes().map_or(&[], |bytes| bytes)
    }

    /// Whether a retry gets it: all of it, or the part that was meant to be stored.
    pub(crate) fn is_replayable(&self) -> bool {
        matches!(self.body, StoredBody::Whole { .. } | StoredBody::Omitted)
    }

    /// Whether the status [is final](is_final).
    pub(crate) fn has_final_status(&self) -> bool {
        is_final(self.status)
    }

    /// Puts the body in place that was stored apart from the frame. `None` if it is gone.
    #[cfg(feature = "redis")]
    pub(crate) fn with_bytes(mut self, supplied: Option<Bytes>) -> Self {
        match (&mut self.body, supplied) {
            (
                StoredBody::Whole { bytes, .. }
                | StoredBody::Packed(bytes)
                | StoredBody::PackedNotRetained(bytes),
                Some(supplied),
            ) => *bytes = supplied,
            (body, _) => *body = StoredBody::NotRetained(NotRetained::Lost),
        }
        self
    }
}

/// A response contains secrets, which must not get into a log.
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
                let trailers = trailers.as_deref().map_or(0, HeaderMap::len);
                write!(f, "Whole({} bytes, {trailers} trailers)", bytes.len())
            }
            Self::Omitted => f.write_str("Omitted"),
            Self::Packed(bytes) => write!(f, "Packed({} bytes)", bytes.len()),
            Self::PackedNotRetained(bytes) => {
                write!(f, "PackedNotRetained({} bytes)", bytes.len())
            }
            Self::NotRetained(reason) => write!(f, "NotRetained({reason:?})"),
        }
    }
}
