//! Where a chunked body ends (RFC 9112, 7.1).

/// The place in a chunked body.
#[derive(Debug, Default)]
pub(super) enum Chunks {
    #[default]
    Start,
    Size(u64),
    /// After the size: an extension, up to the end of the line.
    Extension(u64),
    SizeEnd(u64),
    Data(u64),
    DataEnd,
    DataEndLine,
    /// The beginning of a line after the last chunk.
    Trailer,
    TrailerLine,
    TrailerLineEnd,
    End,
}

/// hyper rejects it.
pub(super) struct Invalid;

impl Chunks {
    /// Returns where the body ends, if it does.
    pub(super) fn look_at(&mut self, bytes: &[u8]) -> Result<Option<usize>, Invalid> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if let Self::Data(left) = self {
                let count = (bytes.len() - at).min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= count as u64;
                if *left == 0 {
                    *self = Self::DataEnd;
                }
                at += count;
                continue;
            }
            at += 1;
            if matches!((&*self, byte), (Self::End, b'\n')) {
                return Ok(Some(at));
            }
            *self = self.after(*byte)?;
        }
        Ok(None)
    }

    #[allow(clippy::match_same_arms, reason = "the arms are in the order of the grammar")]
    fn after(&self, byte: u8) -> Result<Self, Invalid> {
        let digit = char::from(byte).to_digit(16).map(u64::from);
        Ok(match (self, byte) {
            (Self::Start, _) => Self::Size(digit.ok_or(Invalid)?),
            (Self::Size(size), b'\r') => Self::SizeEnd(*size),
            (Self::Size(size), b';' | b' ' | b'\t') => Self::Extension(*size),
            (Self::Size(size), _) => {
                let size = size.checked_mul(16).ok_or(Invalid)?;
                Self::Size(size.checked_add(digit.ok_or(Invalid)?).ok_or(Invalid)?)
            }
            (Self::Extension(size), b'\r') => Self::SizeEnd(*size),
            (Self::Extension(_), b'\n') => return Err(Invalid),
            (Self::Extension(size), _) => Self::Extension(*size),
            (Self::SizeEnd(0), b'\n') => Self::Trailer,
            (Self::SizeEnd(size), b'\n') => Self::Data(*size),
            (Self::DataEnd, b'\r') => Self::DataEndLine,
            (Self::DataEndLine, b'\n') => Self::Start,
            (Self::Trailer, b'\r') => Self::End,
            (Self::Trailer | Self::TrailerLine, b'\n') => return Err(Invalid),
            (Self::TrailerLine, b'\r') => Self::TrailerLineEnd,
            (Self::Trailer | Self::TrailerLine, _) => Self::TrailerLine,
            (Self::TrailerLineEnd, b'\n') => Self::Trailer,
            _ => return Err(Invalid),
        })
    }
}
