//! The details of a status, in the messages of `google/rpc/status.proto` and `error_details.proto`.
//! This module writes the details of a rejection, and reads the details of any response.

use std::time::Duration;

use bytes::Bytes;

use super::Code;
use crate::http::rejection::Rejection;
use crate::record::frame::{Reader, Writer};
use crate::runtime::task::LONGEST_WAIT;

/// The domain of the reasons. A reason is unique within its domain.
const DOMAIN: &str = "tower-idempotency";
const ERROR_INFO: &str = "google.rpc.ErrorInfo";
const RETRY_INFO: &str = "google.rpc.RetryInfo";

/// Writes a `google.rpc.Status` with the code, the message and an `ErrorInfo`. It has a `RetryInfo`
/// if the rejection says when to retry.
pub(super) fn status(rejection: &Rejection, code: Code, message: &str) -> Vec<u8> {
    let mut status =
        Message::new().number(1, u64::from(code.number())).bytes(2, message.as_bytes());
    status = status.message(3, &any(ERROR_INFO, &error_info(rejection)));
    if let Some(after) = rejection.retry_after() {
        status = status.message(3, &any(RETRY_INFO, &retry_info(after)));
    }
    status.0
}

/// The reason is the code of the rejection in capitals. The metadata are the other members of the
/// problem document.
fn error_info(rejection: &Rejection) -> Message {
    let reason = rejection.code().to_ascii_uppercase();
    let mut info = Message::new().bytes(1, reason.as_bytes()).bytes(2, DOMAIN.as_bytes());
    info = info.message(3, &pair("type", &rejection.type_uri()));
    if let Some(status) = rejection.original_status() {
        info = info.message(3, &pair("original_status", status.as_str()));
    }
    info
}

/// One pair of a map.
fn pair(key: &str, value: &str) -> Message {
    Message::new().bytes(1, key.as_bytes()).bytes(2, value.as_bytes())
}

fn retry_info(after: Duration) -> Message {
    let after = after.min(LONGEST_WAIT);
    let delay = Message::new().number(1, after.as_secs()).number(2, after.subsec_nanos().into());
    Message::new().message(1, &delay)
}

/// A message within a `google.protobuf.Any`.
fn any(name: &str, message: &Message) -> Message {
    let type_url = format!("type.googleapis.com/{name}");
    Message::new().bytes(1, type_url.as_bytes()).message(2, message)
}

/// The details of a status, as far as this crate reads them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Details {
    /// The reason of a rejection of this crate.
    pub(super) reason: Option<Bytes>,
    /// Whether the details say when to retry.
    pub(super) has_retry_info: bool,
}

/// Reads a `google.rpc.Status`. It ignores damaged and unknown parts.
pub(super) fn read(status: Bytes) -> Details {
    let mut details = Details::default();
    for detail in fields(status, 3) {
        let type_url = field(&detail, 1);
        let value = field(&detail, 2);
        if type_url.ends_with(RETRY_INFO.as_bytes()) {
            details.has_retry_info = true;
        } else if type_url.ends_with(ERROR_INFO.as_bytes()) && field(&value, 2) == DOMAIN {
            details.reason = Some(field(&value, 1));
        }
    }
    details
}

/// The last field with this number, as Protocol Buffers parsers use it. Empty if none exists.
fn field(message: &Bytes, number: usize) -> Bytes {
    fields(message.clone(), number).last().unwrap_or_default()
}

/// The length-delimited fields with this number. Reading ends at a damaged field.
fn fields(message: Bytes, number: usize) -> impl Iterator<Item = Bytes> {
    let mut reader = Reader::new(message);
    let all = std::iter::from_fn(move || {
        let tag = reader.number().ok()?;
        let value = match tag & 7 {
            0 => reader.number().map(|_| Bytes::new()),
            1 => reader.take(8),
            2 => reader.sized(),
            5 => reader.take(4),
            _ => return None,
        };
        Some((tag, value.ok()?))
    });
    all.filter_map(move |(tag, value)| (tag == number << 3 | 2).then_some(value))
}

/// The bytes of a Protocol Buffers message, written field by field.
struct Message(Vec<u8>);

impl Message {
    fn new() -> Self {
        Self(Vec::new())
    }

    /// Wire type 0, a varint. Zero is the default and is not written.
    fn number(mut self, field: usize, value: u64) -> Self {
        if let Some(value) = usize::try_from(value).ok().filter(|value| *value > 0) {
            let mut writer = Writer::new(&mut self.0);
            writer.number(field << 3);
            writer.number(value);
        }
        self
    }

    /// Wire type 2, a length and that many bytes.
    fn bytes(mut self, field: usize, value: &[u8]) -> Self {
        let mut writer = Writer::new(&mut self.0);
        writer.number(field << 3 | 2);
        writer.sized(value);
        self
    }

    fn message(self, field: usize, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }
}
