//! The frame of an [`Outcome`](super::Outcome), read without the headers and the body.

use bytes::Bytes;
use http::StatusCode;

use super::{Kind, contents, start};
use crate::record::frame::{DecodeError, Reader};

/// What the frame of an outcome says without its headers and its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Glance {
    pub(crate) status: StatusCode,
    pub(crate) kind: Kind,
    /// The length of the body, wherever it is.
    pub(crate) bytes: usize,
}

impl Glance {
    /// Reads a frame up to its body, which may be missing or cut short.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the frame is cut short before that, or malformed.
    pub(crate) fn of(frame: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame);
        let (status, contents) = start(&mut reader)?;
        let kind = Kind::of_number(contents & contents::KIND)?;
        if contents & contents::REQUEST_ID != 0 {
            reader.sized()?;
        }
        reader.skip_headers()?;
        if contents & contents::TRAILERS != 0 {
            reader.skip_headers()?;
        }
        if contents & contents::FIELDS != 0 {
            reader.fields(|_, _| Ok(false))?;
        }
        Ok(Self { status, kind, bytes: reader.number()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::outcome::codec::tests::outcomes;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_glance_tells_the_same_as_the_whole_frame(outcome in outcomes()) {
            let frame = Bytes::from(outcome.encode());
            let head = frame.len() - outcome.bytes().len();
            let glance = Glance { status: outcome.status, kind: outcome.body.kind(), bytes: outcome.bytes().len() };
            for end in 0..frame.len() {
                let expected = if end < head { Err(DecodeError) } else { Ok(glance) };
                prop_assert_eq!(Glance::of(frame.slice(..end)), expected);
            }
            prop_assert_eq!(Glance::of(frame), Ok(glance));
        }
    }
}
