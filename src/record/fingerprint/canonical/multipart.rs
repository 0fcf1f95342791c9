//! `multipart/form-data`, compared by its parts.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_core::Stream;
use http::HeaderMap;
use memchr::memmem;
use multer::{Field, Multipart};

use super::{CanonicalBody, Content, Input, MOST_VALUES};
use crate::record::fingerprint::pointer::Names;

/// The number of pieces that a part counts as, in addition to its headers. Reading one part takes
/// as long as reading about ten values.
const PART: usize = 10;
/// The most bytes from a boundary to the end of the headers after it. Readers are slow with a long
/// header.
const LONGEST_HEAD: usize = 8 << 10;

/// Reads the parts, each with its headers and bytes. Returns `None` if the body is not multipart,
/// is incomplete, or exceeds the budget.
pub(super) fn content(operation: &Input<'_>, rule: &CanonicalBody) -> Option<Content> {
    let content_type = operation.content_type()?;
    // Readers differ in which of two boundaries they use.
    let lower = content_type.to_ascii_lowercase();
    // RFC 2231 defines another spelling, `boundary*=`, which some readers support.
    if lower.matches("boundary=").count() != 1 || lower.contains("boundary*") {
        return None;
    }
    let boundary = multer::parse_boundary(content_type).ok()?;
    if !is_within_budget(operation.body(), &boundary) {
        return None;
    }
    let (ignored, only) = (Names::of(&rule.ignored), rule.only.as_ref().map(Names::of));
    let whole = Whole(Some(Bytes::copy_from_slice(operation.body())));
    let mut multipart = Multipart::new(whole, boundary);
    // The whole body is available, so the parser never waits.
    let mut cx = Context::from_waker(Waker::noop());
    let mut content = Content::default();
    content.count(0);
    let mut parts = 0;
    let mut left = MOST_VALUES;
    loop {
        let Poll::Ready(Ok(next)) = multipart.poll_next_field(&mut cx) else {
            return None;
        };
        let Some(mut field) = next else {
            break;
        };
        left = left.checked_sub(PART + field.headers().len())?;
        let name = field.name();
        let counts = !ignored.have(name) && only.as_ref().is_none_or(|only| only.have(name));
        if counts {
            parts += 1;
            add_headers(field.headers(), &mut content);
        }
        let bytes = read(&mut field, &mut cx)?;
        if counts {
            content.push(&bytes);
        }
    }
    content.set_first(parts);
    Some(content)
}

/// Adds all headers of a part. They contain the name, the file name and the content type. A handler
/// may read other headers too.
fn add_headers(headers: &HeaderMap, content: &mut Content) {
    let mut headers: Vec<_> = headers.iter().collect();
    headers.sort_by_key(|(name, _)| name.as_str());
    content.count(headers.len());
    for (name, value) in headers {
        content.push(name.as_str().as_bytes());
        content.push(value.as_bytes());
    }
}

/// Whether the body has few enough parts, each with a short head.
fn is_within_budget(body: &[u8], boundary: &str) -> bool {
    let delimiter = format!("--{boundary}");
    // Readers differ in what they accept as a part before the first delimiter and after the last
    // one.
    let end = memmem::find(body, format!("{delimiter}--").as_bytes())
        .map(|place| place + delimiter.len() + 2);
    let ends = end.is_some_and(|end| body[end..].iter().all(u8::is_ascii_whitespace));
    if !body.starts_with(delimiter.as_bytes()) || !ends {
        return false;
    }
    let is_short = |place: usize| {
        let behind = &body[place + delimiter.len()..];
        let head = &behind[..behind.len().min(LONGEST_HEAD)];
        head.starts_with(b"--") || memmem::find(head, b"\r\n\r\n").is_some()
    };
    let mut places = memmem::find_iter(body, &delimiter);
    // The last delimiter closes the body.
    let are_short = places.by_ref().take(MOST_VALUES / PART + 1).all(is_short);
    are_short && places.next().is_none()
}

/// Reads every byte of a part.
fn read(field: &mut Field<'_>, cx: &mut Context<'_>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        match Pin::new(&mut *field).poll_next(cx) {
            Poll::Ready(Some(Ok(chunk))) => bytes.extend_from_slice(&chunk),
            Poll::Ready(None) => return Some(bytes),
            Poll::Ready(Some(Err(_))) | Poll::Pending => return None,
        }
    }
}

/// The body as a stream of one chunk.
struct Whole(Option<Bytes>);

impl Stream for Whole {
    type Item = Result<Bytes, multer::Error>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.take().map(Ok))
    }
}

#[cfg(test)]
mod tests;
