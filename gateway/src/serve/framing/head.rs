//! The head of a request, as far as its length goes.

/// So many headers need no allocation.
const HEADERS: usize = 128;

pub(super) enum Head {
    Partial,
    /// hyper rejects it.
    Invalid,
    /// Two servers could see different requests in it.
    Ambiguous(&'static str),
    /// Where it ends, and what follows.
    Whole(usize, Length),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Known(u64),
    Chunked,
}

impl Head {
    /// `most` is how many headers hyper takes. A head that it takes is looked at here, too.
    pub(super) fn parse(bytes: &[u8], most: usize) -> Self {
        let (mut few, mut many) = ([httparse::EMPTY_HEADER; HEADERS], Vec::new());
        let headers = if let Some(headers) = few.get_mut(..most) {
            headers
        } else {
            many.resize(most, httparse::EMPTY_HEADER);
            &mut many
        };
        let mut request = httparse::Request::new(headers);
        let end = match request.parse(bytes) {
            Ok(httparse::Status::Complete(end)) => end,
            Ok(httparse::Status::Partial) => return Self::Partial,
            Err(_) => return Self::Invalid,
        };
        if has_bare_line_feed(&bytes[..end]) {
            return Self::Ambiguous("a line ends without a carriage return");
        }
        match length(request.headers) {
            Ok(length) => Self::Whole(end, length),
            Err(why) => Self::Ambiguous(why),
        }
    }
}

fn has_bare_line_feed(head: &[u8]) -> bool {
    let mut before = 0;
    head.iter().any(|byte| {
        let is_bare = *byte == b'\n' && before != b'\r';
        before = *byte;
        is_bare
    })
}

/// The length of the body (RFC 9112, 6.3).
fn length(headers: &[httparse::Header<'_>]) -> Result<Length, &'static str> {
    let values = |name: &'static str| {
        headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|h| h.value)
    };
    let mut lengths = values("content-length");
    let mut encodings = values("transfer-encoding");
    match (lengths.next(), encodings.next()) {
        (Some(_), Some(_)) => Err("it has a Content-Length and a Transfer-Encoding"),
        (None, Some(encoding)) => {
            let is_chunked = encoding.trim_ascii().eq_ignore_ascii_case(b"chunked");
            if is_chunked && encodings.next().is_none() {
                Ok(Length::Chunked)
            } else {
                Err("its Transfer-Encoding is not chunked alone")
            }
        }
        (Some(length), None) => {
            let number = decimal(length).ok_or("its Content-Length is not a number")?;
            if lengths.all(|other| other == length) {
                Ok(Length::Known(number))
            } else {
                Err("it has two lengths")
            }
        }
        (None, None) => Ok(Length::Known(0)),
    }
}

/// Digits and nothing else: no sign, no list.
fn decimal(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| is_number)?.parse().ok()
}
