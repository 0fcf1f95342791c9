//! Where one request ends and the next one begins.

use super::chunks::Chunks;
use super::head::{Head, Length};

/// What hyper takes. A head above it is let through, and hyper rejects it.
#[derive(Debug, Clone, Copy)]
pub(in crate::serve) struct Most {
    pub(in crate::serve) bytes: usize,
    pub(in crate::serve) headers: usize,
}

/// Follows the bytes of a connection.
#[derive(Debug)]
pub(super) struct Messages {
    place: Place,
    most: Most,
    /// The beginning of a head that was looked at and has no end.
    looked_at: usize,
}

/// The place in the bytes of a connection.
#[derive(Debug)]
enum Place {
    Head,
    Body(u64),
    Chunked(Chunks),
    /// It is not HTTP/1.1, or hyper will reject it.
    Opaque,
}

impl Messages {
    pub(super) fn new(most: Most) -> Self {
        Self { place: Place::Head, most, looked_at: 0 }
    }

    /// Those of a connection that does not speak HTTP/1.1.
    pub(super) fn opaque(most: Most) -> Self {
        Self { place: Place::Opaque, most, looked_at: 0 }
    }

    /// A head that comes a byte at a time is not parsed at each.
    fn parse(&mut self, bytes: &[u8]) -> Head {
        let new = &bytes[self.looked_at.saturating_sub(3)..];
        let may_end = new.windows(2).any(|two| two == b"\n\n")
            || new.windows(3).any(|three| three == b"\n\r\n");
        if self.looked_at > 0 && !may_end {
            self.looked_at = bytes.len();
            return Head::Partial;
        }
        let head = Head::parse(bytes, self.most.headers);
        self.looked_at = if matches!(head, Head::Partial) { bytes.len() } else { 0 };
        head
    }

    /// Looks at bytes, and says how many of them may be read. The others are the beginning of a
    /// head: they are looked at again with what comes after them. An ambiguous head is spoiled.
    pub(super) fn look_at(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &mut bytes[at..];
            at += match &mut self.place {
                Place::Opaque => rest.len(),
                Place::Body(left) => {
                    let count = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= count as u64;
                    if *left == 0 {
                        self.place = Place::Head;
                    }
                    count
                }
                Place::Chunked(chunks) => match chunks.look_at(rest) {
                    Ok(None) => rest.len(),
                    Ok(Some(end)) => {
                        self.place = Place::Head;
                        end
                    }
                    Err(_) => {
                        self.place = Place::Opaque;
                        rest.len()
                    }
                },
                Place::Head => match self.parse(rest) {
                    Head::Partial if rest.len() < self.most.bytes => return at,
                    Head::Partial | Head::Invalid => {
                        self.place = Place::Opaque;
                        rest.len()
                    }
                    Head::Ambiguous(why) => {
                        tracing::info!(why, "a request is rejected, because its end is ambiguous");
                        // hyper takes no request that begins with a control character.
                        rest[0] = 0;
                        self.place = Place::Opaque;
                        rest.len()
                    }
                    Head::Whole(end, length) => {
                        self.place = match length {
                            Length::Known(0) => Place::Head,
                            Length::Known(length) => Place::Body(length),
                            Length::Chunked => Place::Chunked(Chunks::default()),
                        };
                        end
                    }
                },
            };
        }
        at
    }
}
