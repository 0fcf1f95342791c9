//! Reading and dropping the body of a request that is rejected while its client still sends.
//!
//! A server that gives its response before it has read the request has to close the connection. The
//! bytes that it has not read then reset the connection. A client that writes its whole body before it
//! reads loses the response in this way: it sees a broken connection where there was a 413. So a bounded
//! part of the body is read and dropped before the rejection is given. Nothing of it is stored.
//!
//! HTTP/2 and later end the stream and not the connection, so there the response is given at once.

use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::request::Parts;
use http::{Version, header};
use http_body::Body;

use super::{BoxError, ReadError, next_frame, read};
use crate::runtime::task;

/// The most that is drained, in bytes. It covers what a client sends by mistake, such as a photograph or
/// a batch. A longer upload costs more than a connection that is opened again.
const MOST: u64 = 16 << 20;

/// How long a body is drained. It is enough for [`MOST`] at 27 Mbit/s. A client that stalls holds its
/// connection no longer than this.
const LONGEST: Duration = Duration::from_secs(5);

/// Reads a request body of no more than `limit` bytes. What is left of a larger one is drained.
///
/// A layer outside that ended the body with an error has left nothing to drain.
///
/// # Cancel safety
///
/// As [`read`].
pub(crate) async fn read_or_drain<B>(
    body: B,
    limit: usize,
    patience: Duration,
    head: &Parts,
) -> Result<Bytes, ReadError>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let mut body = pin!(body);
    // A client that waits for "100 Continue" sends once the body was polled, and not before.
    let is_unread = body.size_hint().lower() > limit as u64;
    let read = read(body.as_mut(), limit, patience).await;
    let is_over_limit = matches!(read, Err(ReadError::TooLarge { limit: Some(_) }));
    if is_over_limit && may_drain(&*body, head, is_unread) {
        // Boxed, because every guarded request would otherwise be as large as this future.
        Box::pin(drain(body)).await;
    }
    read
}

/// Whether a body of which nothing was read is to be drained before its request is rejected.
pub(crate) fn is_to_be_drained<B: Body>(body: &B, head: &Parts) -> bool {
    may_drain(body, head, true)
}

/// Gives a response after a body was drained.
pub(crate) async fn after_draining<B: Body, R>(body: B, response: R) -> R {
    drain(pin!(body)).await;
    response
}

fn may_drain<B: Body>(body: &B, head: &Parts, is_unread: bool) -> bool {
    // Such a client sends no body that it was not asked for, and to poll the body is to ask.
    let is_held_back = || {
        let expect = head.headers.get(header::EXPECT);
        is_unread && expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    };
    head.version <= Version::HTTP_11
        && !body.is_end_stream()
        && body.size_hint().lower() <= MOST
        && !is_held_back()
}

async fn drain<B: Body>(mut body: Pin<&mut B>) {
    let to_its_end = async {
        let mut left = MOST;
        while let Some(Ok(frame)) = next_frame(body.as_mut()).await {
            let length = frame.data_ref().map_or(0, |data| data.remaining() as u64);
            match left.checked_sub(length) {
                Some(less) => left = less,
                None => break,
            }
        }
    };
    let _ = task::within(LONGEST, to_its_end).await;
}
