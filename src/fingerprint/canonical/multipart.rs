//! `multipart/form-data` by its parts.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_core::Stream;
use http::HeaderMap;
use multer::Multipart;

use super::{CanonicalBody, Content, Operation, count};

struct Part {
    name: Option<String>,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

pub(super) fn content(operation: &Operation<'_>, rule: &CanonicalBody) -> Option<Content> {
    let mut parts = parse(operation)?;
    parts.retain(|part| !rule.ignores(part.name.as_deref()));
    if let Some(only) = &rule.only {
        parts.retain(|part| only.iter().any(|pointer| pointer.names(part.name.as_deref())));
    }
    let mut content = vec![count(parts.len())];
    for part in parts {
        // Names, file names and content types all stand in the headers; a handler may read others too.
        let mut headers: Vec<_> = part.headers.iter().collect();
        headers.sort_by_key(|(name, _)| name.as_str());
        content.push(count(headers.len()));
        for (name, value) in headers {
            content.push(name.as_str().into());
            content.push(value.as_bytes().to_vec());
        }
        content.push(part.bytes);
    }
    Some(content)
}

/// The parts; `None` if it is not multipart, or not whole.
fn parse(operation: &Operation<'_>) -> Option<Vec<Part>> {
    let content_type = operation.content_type()?;
    // Of two boundaries, which one a reader takes is its own affair.
    if content_type.to_ascii_lowercase().matches("boundary=").count() != 1 {
        return None;
    }
    let boundary = multer::parse_boundary(content_type).ok()?;
    let whole = Whole(Some(Bytes::copy_from_slice(operation.body())));
    let mut multipart = Multipart::new(whole, boundary);
    // All of the body is there, so nothing here ever has to wait.
    let mut cx = Context::from_waker(Waker::noop());
    let mut parts = Vec::new();
    loop {
        let Poll::Ready(Ok(next)) = multipart.poll_next_field(&mut cx) else {
            return None;
        };
        let Some(mut field) = next else {
            return Some(parts);
        };
        let mut bytes = Vec::new();
        loop {
            match Pin::new(&mut field).poll_next(&mut cx) {
                Poll::Ready(Some(Ok(chunk))) => bytes.extend_from_slice(&chunk),
                Poll::Ready(None) => break,
                Poll::Ready(Some(Err(_))) | Poll::Pending => return None,
            }
        }
        let name = field.name().map(str::to_owned);
        parts.push(Part { name, headers: field.headers().clone(), bytes });
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
