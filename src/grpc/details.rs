//! The details of a refusal, in the messages that `google/rpc/status.proto` and `error_details.proto` define.

use std::time::Duration;

use super::Code;
use crate::config::LONGEST_WAIT;
use crate::frame::Writer;
use crate::rejection::Rejection;

/// Who gives the reasons: they are unique within it.
const DOMAIN: &str = "tower-idempotency";

/// A `google.rpc.Status` with the code, the message, an `ErrorInfo`, and a `RetryInfo` if it says when to ask again.
pub(super) fn status(rejection: &Rejection, code: Code, message: &str) -> Vec<u8> {
    let mut status = Message::new().number(1, u64::from(code.number())).bytes(2, message.as_bytes());
    status = status.message(3, &any("google.rpc.ErrorInfo", &error_info(rejection)));
    if let Some(after) = rejection.retry_after() {
        status = status.message(3, &any("google.rpc.RetryInfo", &retry_info(after)));
    }
    status.0
}

/// The reason is the code of the refusal in capitals; the metadata are the other members of the problem document.
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

/// The bytes of a message of Protocol Buffers, written field by field.
struct Message(Vec<u8>);

impl Message {
    fn new() -> Self {
        Self(Vec::new())
    }

    /// Wire type 0, a varint. Zero is the default, and not written.
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
