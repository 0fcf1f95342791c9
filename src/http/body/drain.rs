//! Draining: reading and dropping the body of a rejected request while its client still sends.
//!
//! A server that responds before it has read the request must close the connection. The unread
//! bytes then reset the connection. A client that writes its whole body before it reads loses the
//! response: it sees a broken connection instead of a 413. So the layer reads and drops a bounded
//! part of the body before it sends the rejection. It stores none of these bytes.
//!
//! HTTP/2 and later end the stream and not the connection, so there the layer responds at once.

use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::request::Parts;
use http::{Version, header};
use http_body::Body;

use super::{BoxError, ReadError, next_frame, read};
use crate::runtime::deadlines::within;

/// The most bytes that are drained. The limit covers what a client sends in error, such as a
/// photograph or a batch. A longer upload costs more than a new connection.
const MOST: u64 = 16 << 20;

/// The longest time that a body is drained. It is enough for [`MOST`] at 27 Mbit/s. A client that
/// stalls occupies its connection no longer than this.
const LONGEST: Duration = Duration::from_secs(5);

/// Reads a request body of at most `limit` bytes, and drains the rest of a larger one.
///
/// If an outer layer ended the body with an error, nothing is left to drain.
///
/// # Cancel safety
///
/// The same as for [`read`].
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
    // A client that waits for "100 Continue" sends its body only after the first poll.
    let is_unread = body.size_hint().lower() > limit as u64;
    let read = read(body.as_mut(), limit, patience).await;
    let is_over_limit = matches!(read, Err(ReadError::TooLarge { limit: Some(_) }));
    if is_over_limit && may_drain(&*body, head, is_unread) {
        // Boxed, because every guarded request would otherwise be as large as this future.
        Box::pin(drain(body)).await;
    }
    read
}

/// Whether to drain an unread body before its request is rejected.
pub(crate) fn is_to_be_drained<B: Body>(body: &B, head: &Parts) -> bool {
    may_drain(body, head, true)
}

/// Returns the response after draining the body.
pub(crate) async fn after_draining<B: Body, R>(body: B, response: R) -> R {
    drain(pin!(body)).await;
    response
}

fn may_drain<B: Body>(body: &B, head: &Parts, is_unread: bool) -> bool {
    // Such a client sends its body only on request. A poll of the body would be that request.
    let awaits_continue = || {
        let expect = head.headers.get(header::EXPECT);
        is_unread
            && expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    };
    head.version <= Version::HTTP_11
        && !body.is_end_stream()
        && body.size_hint().lower() <= MOST
        && !awaits_continue()
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
    let _ = within(LONGEST, to_its_end).await;
}
