//! Reads and writes the binary frames of records: sizes, header lines and fields. It trusts nothing
//! that it reads.

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// A field that was added to a format: its tag and its value.
///
/// Tags are counted up in each format. A reader that does not know an even one leaves the field
/// out, so it is for what a reader can do without. A reader that does not know an odd one rejects
/// the frame.
pub(crate) type Field<'a> = (usize, &'a [u8]);

/// A stored frame that is cut short, too long, of an unknown version, or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError;

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the stored record is malformed or of an unknown version")
    }
}

impl std::error::Error for DecodeError {}

/// Names that take one byte instead of their text. Positions are part of the format: append, never
/// reorder.
static KNOWN: [HeaderName; 16] = [
    header::CONTENT_TYPE,
    header::LOCATION,
    header::ETAG,
    header::CACHE_CONTROL,
    header::VARY,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::LAST_MODIFIED,
    header::LINK,
    header::RETRY_AFTER,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::X_CONTENT_TYPE_OPTIONS,
    header::STRICT_TRANSPORT_SECURITY,
    header::TRAILER,
];

/// Added to the number of a name if the value is sensitive. Still one byte, because there are fewer
/// names than this.
const SENSITIVE: usize = 0x40;

/// How many headers a replay has in addition to those of its record. A map that grows costs more
/// than one that begins with their capacity.
const OF_A_REPLAY: usize = 4;

pub(crate) struct Writer<'a>(&'a mut Vec<u8>);

impl<'a> Writer<'a> {
    pub(crate) fn new(frame: &'a mut Vec<u8>) -> Self {
        Self(frame)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Writes a number as LEB128.
    #[allow(clippy::cast_possible_truncation)] // Seven bits at a time is the point.
    pub(crate) fn number(&mut self, mut number: usize) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub(crate) fn sized(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.bytes(bytes);
    }

    /// Writes fields in the order of their tags, at least one: the length of all of them, then for
    /// each its tag, the length of its value and the value.
    pub(crate) fn fields(&mut self, fields: &[Field<'_>]) {
        let length = |(tag, value): &Field<'_>| digits(*tag) + digits(value.len()) + value.len();
        self.number(fields.iter().map(length).sum());
        for (tag, value) in fields {
            self.number(*tag);
            self.sized(value);
        }
    }

    pub(crate) fn headers(&mut self, headers: &HeaderMap) {
        self.number(headers.len());
        for (name, value) in headers {
            let known =
                KNOWN.iter().position(|known| known == name).map_or(0, |position| position + 1);
            self.number(if value.is_sensitive() { known | SENSITIVE } else { known });
            if known == 0 {
                self.sized(name.as_str().as_bytes());
            }
            self.sized(value.as_bytes());
        }
    }
}

/// Reads a number in LEB128.
pub(crate) fn number(bytes: &mut impl Buf) -> Result<usize, DecodeError> {
    let mut number = 0_usize;
    for shift in (0..usize::BITS).step_by(7) {
        let byte = bytes.try_get_u8().map_err(|_| DecodeError)?;
        let bits = usize::from(byte & 0x7f);
        // A number has one spelling: no bits that do not fit, and no zeros that pad it.
        if (bits << shift) >> shift != bits || (byte == 0 && shift > 0) {
            return Err(DecodeError);
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(DecodeError)
}

/// How many bytes a number takes.
fn digits(number: usize) -> usize {
    (usize::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}

pub(crate) struct Reader(Bytes);

impl Reader {
    pub(crate) fn new(frame: Bytes) -> Self {
        Self(frame)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        self.0.try_get_u8().map_err(|_| DecodeError)
    }

    /// Reads a byte if it is this one. Whether it is.
    #[cfg(feature = "redis")]
    pub(crate) fn skip(&mut self, byte: u8) -> bool {
        let is_next = self.0.first() == Some(&byte);
        if is_next {
            self.0.advance(1);
        }
        is_next
    }

    #[cfg(feature = "redis")]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        self.0.try_copy_to_slice(&mut array).map_err(|_| DecodeError)?;
        Ok(array)
    }

    pub(crate) fn number(&mut self) -> Result<usize, DecodeError> {
        number(&mut self.0)
    }

    pub(crate) fn sized(&mut self) -> Result<Bytes, DecodeError> {
        let length = self.number()?;
        self.take(length)
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.0.len() {
            return Err(DecodeError);
        }
        Ok(self.0.split_to(length))
    }

    pub(crate) fn value(&mut self) -> Result<HeaderValue, DecodeError> {
        HeaderValue::from_maybe_shared(self.sized()?).map_err(|_| DecodeError)
    }

    pub(crate) fn headers(&mut self) -> Result<HeaderMap, DecodeError> {
        let lines = self.number()?;
        // A line takes two bytes at least, so a forged count cannot make this reserve more than the
        // frame is long.
        if lines > self.0.len() / 2 {
            return Err(DecodeError);
        }
        let mut headers = HeaderMap::with_capacity(lines.min(64) + OF_A_REPLAY);
        for _ in 0..lines {
            let number = self.number()?;
            let name = match number & !SENSITIVE {
                0 => HeaderName::from_bytes(&self.sized()?).map_err(|_| DecodeError)?,
                known => KNOWN.get(known - 1).ok_or(DecodeError)?.clone(),
            };
            let mut value = self.value()?;
            value.set_sensitive(number & SENSITIVE != 0);
            headers.try_append(name, value).map_err(|_| DecodeError)?;
        }
        Ok(headers)
    }

    /// Reads what [`Writer::headers`] has written, and leaves it out.
    #[cfg(feature = "redis")]
    pub(crate) fn skip_headers(&mut self) -> Result<(), DecodeError> {
        for _ in 0..self.number()? {
            if self.number()? & !SENSITIVE == 0 {
                self.sized()?;
            }
            self.sized()?;
        }
        Ok(())
    }

    /// Reads fields. `field` gets the tag and the value of each, and says whether it knows the tag.
    pub(crate) fn fields(
        &mut self,
        mut field: impl FnMut(usize, &[u8]) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        let fields = self.sized()?;
        let mut rest = &fields[..];
        let mut last = None;
        while !rest.is_empty() {
            let (tag, length) = (number(&mut rest)?, number(&mut rest)?);
            let (value, behind) = rest.split_at_checked(length).ok_or(DecodeError)?;
            rest = behind;
            let is_known = field(tag, value)?;
            if last >= Some(tag) || (!is_known && tag % 2 == 1) {
                return Err(DecodeError);
            }
            last = Some(tag);
        }
        // One set of fields, one spelling: none is written as no section, and no tag comes twice.
        last.map(|_| ()).ok_or(DecodeError)
    }

    pub(crate) fn rest(self) -> Bytes {
        self.0
    }
}

#[cfg(test)]
mod tests;
