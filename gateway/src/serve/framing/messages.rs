//! Where one request ends and the next one begins.

use super::chunks::Chunks;
use super::head::{Head, Length};

/// Above it a head is let through, and hyper rejects it.
const LONGEST_HEAD: usize = 1 << 20;

/// The place in the bytes of a connection.
#[derive(Debug, Default)]
pub(super) enum Messages {
    #[default]
    Head,
    Body(u64),
    Chunked(Chunks),
    /// It is not HTTP/1.1, or hyper will reject it.
    Opaque,
}

impl Messages {
    /// Looks at bytes, and says how many of them may be read. The others are the beginning of a
    /// head: they are looked at again with what comes after them. An ambiguous head is spoiled.
    pub(super) fn look_at(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &mut bytes[at..];
            at += match self {
                Self::Opaque => rest.len(),
                Self::Body(left) => {
                    let count = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= count as u64;
                    if *left == 0 {
                        *self = Self::Head;
                    }
                    count
                }
                Self::Chunked(chunks) => match chunks.look_at(rest) {
                    Ok(None) => rest.len(),
                    Ok(Some(end)) => {
                        *self = Self::Head;
                        end
                    }
                    Err(_) => {
                        *self = Self::Opaque;
                        rest.len()
                    }
                },
                Self::Head => match Head::parse(rest) {
                    Head::Partial if rest.len() < LONGEST_HEAD => return at,
                    Head::Partial | Head::Invalid => {
                        *self = Self::Opaque;
                        rest.len()
                    }
                    Head::Ambiguous(why) => {
                        tracing::info!(why, "a request is rejected, because its end is ambiguous");
                        // hyper takes no request that begins with a control character.
                        rest[0] = 0;
                        *self = Self::Opaque;
                        rest.len()
                    }
                    Head::Whole(end, length) => {
                        *self = match length {
                            Length::Known(0) => Self::Head,
                            Length::Known(length) => Self::Body(length),
                            Length::Chunked => Self::Chunked(Chunks::default()),
                        };
                        end
                    }
                },
            };
        }
        at
    }
}
