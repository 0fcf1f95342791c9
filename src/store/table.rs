//! A record as a row, for stores that keep it in a table: words and lines that a person can read.
//!
//! | column | what it holds |
//! |---|---|
//! | `key` | the storage key: 32 bytes, whose first digits the logs show |
//! | `status` | `pending`, `success` or `failed` |
//! | `attempt`, `token`, `fingerprint` | of the attempt that the row tells of |
//! | `lease_until` | while it is pending: when it becomes abandoned |
//! | `created_at`, `updated_at`, `expires_at` | by the clock of the database |
//! | `response_status` | the answer: its status |
//! | `response_headers`, `response_trailers` | a line `name: value` for each, in their order, bytes beyond ASCII as Latin-1 |
//! | `response_request_id` | the id of the request that was answered first |
//! | `response_body` | the body, byte for byte |
//! | `response_missing` | why there is no body: `too large`, `streamed`, `failure`, `lost`, `withheld`, `rejected`, `stalled`, `omitted`; or `packed`, if the body is compressed or encrypted |

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{Record, State, Token};
use crate::fingerprint::Fingerprint;
use crate::frame::Malformed;
use crate::outcome::{KeptBody, NotRetained, Outcome};

mod identifier;

pub use identifier::{Identifier, InvalidIdentifier};

/// What stands in a row, as far as it tells of a record.
pub(super) struct Row {
    pub(super) status: String,
    pub(super) attempt: i64,
    pub(super) token: Vec<u8>,
    pub(super) fingerprint: Vec<u8>,
    /// Whether the lease has lapsed, by the clock of the database.
    pub(super) lapsed: bool,
    /// `None` if `response_status` is null: the attempt has left no answer.
    pub(super) answer: Option<Answer>,
}

/// The columns of an answer.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) status: i32,
    pub(super) headers: String,
    pub(super) trailers: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) body: Option<Bytes>,
    pub(super) missing: Option<String>,
}

impl Row {
    /// # Errors
    ///
    /// [`Malformed`] if a column holds what this crate does not write there.
    pub(super) fn record(self) -> Result<Record, Malformed> {
        let outcome = self.answer.map(Answer::outcome).transpose()?;
        let state = match (&*self.status, outcome) {
            ("pending", None) => State::Pending { abandoned: self.lapsed },
            ("success", Some(outcome)) => State::Success(outcome),
            ("failed", outcome) => State::Failed(outcome),
            _ => return Err(Malformed),
        };
        let fingerprint: [u8; Fingerprint::LEN] = self.fingerprint.try_into().map_err(|_| Malformed)?;
        Ok(Record {
            fingerprint: Fingerprint::from_bytes(&fingerprint),
            attempt: u32::try_from(self.attempt).map_err(|_| Malformed)?,
            token: Token::new(self.token.try_into().map_err(|_| Malformed)?),
            state,
        })
    }
}

impl Answer {
    pub(super) fn of(outcome: &Outcome) -> Self {
        let (body, trailers, missing) = match &outcome.body {
            KeptBody::Whole { bytes, trailers } => (Some(bytes.clone()), trailers.as_ref().map(lines), None),
            KeptBody::Packed(bytes) => (Some(bytes.clone()), None, Some(PACKED.into())),
            KeptBody::Omitted => (None, None, Some(OMITTED.into())),
            KeptBody::NotRetained(reason) => (None, None, Some(word(*reason).into())),
        };
        Self {
            status: outcome.status.as_u16().into(),
            headers: lines(&outcome.headers),
            trailers,
            request_id: outcome.request_id.as_ref().map(text),
            body,
            missing,
        }
    }

    fn outcome(self) -> Result<Outcome, Malformed> {
        let body = match (self.body, self.missing.as_deref()) {
            (Some(bytes), None) => {
                KeptBody::Whole { bytes, trailers: self.trailers.as_deref().map(headers).transpose()? }
            }
            (Some(bytes), Some(PACKED)) => KeptBody::Packed(bytes),
            (None, Some(OMITTED)) => KeptBody::Omitted,
            (None, Some(missing)) => KeptBody::NotRetained(reason(missing)?),
            _ => return Err(Malformed),
        };
        let status = u16::try_from(self.status).map_err(|_| Malformed)?;
        Ok(Outcome {
            status: StatusCode::from_u16(status).map_err(|_| Malformed)?,
            headers: headers(&self.headers)?,
            request_id: self.request_id.as_deref().map(value).transpose()?,
            body,
        })
    }
}

const PACKED: &str = "packed";
const OMITTED: &str = "omitted";

fn word(reason: NotRetained) -> &'static str {
    match reason {
        NotRetained::TooLarge => "too large",
        NotRetained::Streamed => "streamed",
        NotRetained::Failure => "failure",
        NotRetained::Lost => "lost",
        NotRetained::Withheld => "withheld",
        NotRetained::Rejected => "rejected",
        NotRetained::Stalled => "stalled",
    }
}

fn reason(word: &str) -> Result<NotRetained, Malformed> {
    Ok(match word {
        "too large" => NotRetained::TooLarge,
        "streamed" => NotRetained::Streamed,
        "failure" => NotRetained::Failure,
        "lost" => NotRetained::Lost,
        "withheld" => NotRetained::Withheld,
        "rejected" => NotRetained::Rejected,
        "stalled" => NotRetained::Stalled,
        _ => return Err(Malformed),
    })
}

fn lines(headers: &HeaderMap) -> String {
    let mut lines = String::new();
    for (name, value) in headers {
        lines.push_str(name.as_str());
        lines.push_str(": ");
        lines.extend(value.as_bytes().iter().copied().map(char::from));
        lines.push('\n');
    }
    lines
}

/// No value of a header has an end of line in it, so the lines are as they were written.
fn headers(lines: &str) -> Result<HeaderMap, Malformed> {
    let mut headers = HeaderMap::new();
    for line in lines.split_terminator('\n') {
        let (name, text) = line.split_once(": ").ok_or(Malformed)?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Malformed)?;
        headers.try_append(name, value(text)?).map_err(|_| Malformed)?;
    }
    Ok(headers)
}

/// Each byte as the character of that number, which is Latin-1.
fn text(value: &HeaderValue) -> String {
    value.as_bytes().iter().copied().map(char::from).collect()
}

fn value(text: &str) -> Result<HeaderValue, Malformed> {
    let bytes: Option<Vec<u8>> = text.chars().map(|char| u8::try_from(char).ok()).collect();
    HeaderValue::from_maybe_shared(Bytes::from(bytes.ok_or(Malformed)?)).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests;
