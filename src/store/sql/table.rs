//! A record as a row of a table, in words and lines that a person can read.
//!
//! | column | what it holds |
//! |---|---|
//! | `key` | the storage key: 32 bytes, whose first digits the logs show |
//! | `status` | `pending`, `success` or `failed` |
//! | `attempt`, `token`, `fingerprint` | of the attempt that the row tells of |
//! | `lease_until` | while it is pending: when it becomes abandoned |
//! | `created_at`, `updated_at`, `expires_at` | by the clock of the database |
//! | `response_status` | the response: its status |
//! | `response_headers`, `response_trailers` | the bytes of a line `name: value` for each, in their order |
//! | `response_request_id` | the id of the first request: visible ASCII, at most 128 characters |
//! | `response_body` | the body, byte for byte |
//! | `response_missing` | why there is no body: `too large`, `streamed`, `failure`, `lost`, `withheld`, `rejected`, `stalled`, `omitted`; or `packed`, if the body is compressed or encrypted |
//! | `namespace`, `route`, `scope` | of a [labelled](crate::IdempotencyLayer::label_records) record: the operation, in ASCII, and the digest of the scope; otherwise null |
//!
//! What operators did is in a table beside it, with `_audit` at the end of its name:
//!
//! | column | what it holds |
//! |---|---|
//! | `key`, `id` | the storage key, and the intervention: 16 bytes, which a settled record has as its token |
//! | `at`, `expires_at` | by the clock of the database |
//! | `action` | `release`, `respond`, `fail`, `conclude` or `erase` |
//! | `by`, `reason` | who and why |
//! | `was`, `attempt` | the state that the record had, and its attempt |
//!
//! Header values are stored byte for byte, so no encoding of a database can reject or change them.
//! A database shows such bytes as text on request:
//!
//! ```text
//! SELECT convert_from(response_headers, 'LATIN1') FROM idempotency_records   -- PostgreSQL, in UTF8 or LATIN1
//! SELECT CAST(response_headers AS TEXT) FROM idempotency_records             -- SQLite
//! ```
//!
//! A value that is sensitive ([`HeaderValue::is_sensitive`]) is stored with `(sensitive) ` in front
//! of its line, or in front of the request id.

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::record::fingerprint::Fingerprint;
use crate::record::frame::DecodeError;
use crate::record::outcome::{Kind, Outcome, StoredBody};
use crate::store::{Record, State, Token};

mod identifier;
mod label;
mod operator;

pub use identifier::{Identifier, InvalidIdentifier};
pub(super) use label::{LabelColumns, written};
pub(super) use operator::{EntryRow, InfoRow, StatsRow, unreadable_entry};

/// The columns of a row that describe a record.
pub(super) struct Row {
    pub(super) status: String,
    pub(super) attempt: i64,
    pub(super) token: Vec<u8>,
    pub(super) fingerprint: Vec<u8>,
    /// Whether the lease has lapsed, by the clock of the database.
    pub(super) lapsed: bool,
    /// `None` if `response_status` is null: the attempt has no response.
    pub(super) response: Option<ResponseColumns>,
}

/// The columns of a response.
#[derive(Default)]
pub(super) struct ResponseColumns {
    pub(super) status: i32,
    pub(super) headers: Bytes,
    pub(super) trailers: Option<Bytes>,
    pub(super) request_id: Option<String>,
    pub(super) body: Option<Bytes>,
    pub(super) missing: Option<String>,
}

impl Row {
    /// # Errors
    ///
    /// [`DecodeError`] if a column contains a value that this crate does not write.
    pub(super) fn record(self) -> Result<Record, DecodeError> {
        let outcome = self.response.map(ResponseColumns::outcome).transpose()?;
        let state = match (&*self.status, outcome) {
            ("pending", None) => State::Pending { abandoned: self.lapsed },
            ("success", Some(outcome)) => State::Success(outcome),
            ("failed", outcome) => State::Failed(outcome),
            _ => return Err(DecodeError),
        };
        let fingerprint: [u8; Fingerprint::LEN] =
            self.fingerprint.try_into().map_err(|_| DecodeError)?;
        let fingerprint = Fingerprint::from_bytes(&fingerprint);
        let attempt = u32::try_from(self.attempt).map_err(|_| DecodeError)?;
        let token = Token::new(self.token.try_into().map_err(|_| DecodeError)?);
        Ok(Record::new(fingerprint, attempt, token, state))
    }
}

impl ResponseColumns {
    pub(super) fn of(outcome: &Outcome) -> Self {
        let body = &outcome.body;
        Self {
            status: outcome.status.as_u16().into(),
            headers: lines(&outcome.headers),
            trailers: body.trailers().map(lines),
            request_id: outcome.request_id.as_ref().and_then(written_id),
            body: body.bytes().cloned(),
            missing: body.kind().word().map(Into::into),
        }
    }

    fn outcome(self) -> Result<Outcome, DecodeError> {
        let kind = Kind::of_word(self.missing.as_deref())?;
        let body = StoredBody::of_kind(kind, self.body, self.trailers.map(headers).transpose()?)?;
        let status = u16::try_from(self.status).map_err(|_| DecodeError)?;
        let status = StatusCode::from_u16(status).map_err(|_| DecodeError)?;
        let request_id = self.request_id.as_deref().map(read_id).transpose()?;
        Ok(Outcome::new(status, body).headers(headers(self.headers)?).request_id(request_id))
    }
}

/// In front of what is sensitive. Neither a name nor a request id begins with it, because it has a
/// space in it.
const SENSITIVE: &str = "(sensitive) ";

fn lines(headers: &HeaderMap) -> Bytes {
    let mut lines = Vec::new();
    for (name, value) in headers {
        if value.is_sensitive() {
            lines.extend_from_slice(SENSITIVE.as_bytes());
        }
        lines.extend_from_slice(name.as_str().as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value.as_bytes());
        lines.push(b'\n');
    }
    lines.into()
}

/// No value of a header contains the end of a line, so the lines are as they were written.
fn headers(mut lines: Bytes) -> Result<HeaderMap, DecodeError> {
    let mut headers = HeaderMap::new();
    while !lines.is_empty() {
        let end = lines.iter().position(|byte| *byte == b'\n').ok_or(DecodeError)?;
        let mut line = lines.split_to(end + 1);
        line.truncate(end);
        let is_sensitive = line.starts_with(SENSITIVE.as_bytes());
        if is_sensitive {
            line.advance(SENSITIVE.len());
        }
        let colon = line.windows(2).position(|pair| pair == b": ").ok_or(DecodeError)?;
        let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| DecodeError)?;
        let mut value =
            HeaderValue::from_maybe_shared(line.slice(colon + 2..)).map_err(|_| DecodeError)?;
        value.set_sensitive(is_sensitive);
        headers.try_append(name, value).map_err(|_| DecodeError)?;
    }
    Ok(headers)
}

/// The most bytes of a request id.
const LONGEST_ID: usize = 128;

/// Whether it can be stored as text, in a database of any encoding.
fn is_id(bytes: &[u8]) -> bool {
    bytes.len() <= LONGEST_ID && bytes.iter().all(u8::is_ascii_graphic)
}

/// `None` for an id that the layer does not store.
fn written_id(id: &HeaderValue) -> Option<String> {
    let text = id.to_str().ok().filter(|text| is_id(text.as_bytes()))?;
    Some(if id.is_sensitive() { format!("{SENSITIVE}{text}") } else { text.to_owned() })
}

fn read_id(text: &str) -> Result<HeaderValue, DecodeError> {
    let (id, is_sensitive) = text.strip_prefix(SENSITIVE).map_or((text, false), |id| (id, true));
    if !is_id(id.as_bytes()) {
        return Err(DecodeError);
    }
    let mut id = HeaderValue::from_str(id).map_err(|_| DecodeError)?;
    id.set_sensitive(is_sensitive);
    Ok(id)
}

#[cfg(test)]
mod tests;
