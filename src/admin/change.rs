//! The body of a request that changes a record.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;

use super::problem::Problem;
use crate::operate::Settle;
use crate::record::fingerprint::Fingerprint;
use crate::record::hex;
use crate::record::key::StorageKey;
use crate::record::outcome::{NotRetained, Outcome, StoredBody, is_final};
use crate::store::operator::{RecordInfo, RecordState};
use crate::store::{Record, State, Token};

/// A change of a record. `response`, `failed` and `done` are ways to settle, and one of them is
/// there then.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    pub(super) seen: Seen,
    pub(super) reason: String,
    #[serde(default)]
    pub(super) even_in_flight: bool,
    #[serde(default)]
    pub(super) even_unreadable: bool,
    response: Option<GivenResponse>,
    failed: Option<Failed>,
    done: Option<Done>,
}

/// The version of the record that the operator saw.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seen {
    attempt: u32,
    token: String,
    state: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenResponse {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, Values>,
    text: Option<String>,
    base64: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Failed {
    status: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Done {
    status: u16,
}

impl Change {
    /// How the operation is settled. `None`: the change is of another kind.
    pub(super) fn settle(&self) -> Result<Option<Settle>, Problem> {
        match (&self.response, &self.failed, &self.done) {
            (None, None, None) => Ok(None),
            (Some(response), None, None) => Ok(Some(Settle::Respond(response.outcome()?))),
            (None, Some(Failed { status: None }), None) => Ok(Some(Settle::Fail(None))),
            (None, Some(Failed { status: Some(code) }), None) => {
                Ok(Some(Settle::Fail(Some(status(*code)?))))
            }
            (None, None, Some(done)) => Ok(Some(Settle::Conclude(status(done.status)?))),
            _ => Err(wrong("a change has one of `response`, `failed` and `done`")),
        }
    }
}

impl Seen {
    /// The record that the operator saw. `now` is the record of the key at the moment.
    ///
    /// If it has moved on, the store must still be asked: it knows whether it was this very change
    /// that moved it. For that the version is enough.
    pub(super) fn record(
        &self,
        key: StorageKey,
        now: Option<&RecordInfo>,
    ) -> Result<RecordInfo, Problem> {
        let token = hex::read(&self.token).map(Token::new);
        let token = token.ok_or_else(|| wrong("`seen.token` has 32 hexadecimal digits"))?;
        let state = self.state().ok_or_else(|| {
            wrong("`seen.state` is in-flight, abandoned, failed, success or not-retained")
        })?;
        let is_as_seen = |now: &&RecordInfo| {
            now.token == token && now.attempt == self.attempt && now.state.word() == self.state
        };
        if let Some(now) = now.filter(is_as_seen) {
            return Ok(now.clone());
        }
        let fingerprint =
            now.map_or_else(|| Fingerprint::of_fields([""; 0]), |now| now.fingerprint);
        let record = Record::new(fingerprint, self.attempt, token, state);
        Ok(RecordInfo::new(key, &record))
    }

    /// Stores compare the kind of state only.
    fn state(&self) -> Option<State> {
        let bare = |reason| Outcome::new(StatusCode::default(), StoredBody::NotRetained(reason));
        let states = [
            State::Pending { abandoned: false },
            State::Pending { abandoned: true },
            State::Failed(None),
            State::Success(Outcome::new(StatusCode::default(), StoredBody::Omitted)),
            State::Success(bare(NotRetained::Settled)),
        ];
        states.into_iter().find(|state| RecordState::of(state).word() == self.state)
    }
}

impl GivenResponse {
    fn outcome(&self) -> Result<Outcome, Problem> {
        let bytes = match (&self.text, &self.base64) {
            (None, None) => Bytes::new(),
            (Some(text), None) => Bytes::from(text.clone()),
            (None, Some(base64)) => {
                let bytes = STANDARD.decode(base64);
                Bytes::from(bytes.map_err(|_| wrong("`response.base64` is not Base64"))?)
            }
            (Some(_), Some(_)) => {
                return Err(wrong("a response has `text` or `base64`, or neither"));
            }
        };
        let body = StoredBody::Whole { bytes, trailers: None };
        Ok(Outcome::new(status(self.status)?, body).headers(self.headers()?))
    }

    fn headers(&self) -> Result<HeaderMap, Problem> {
        let mut headers = HeaderMap::new();
        for (name, values) in &self.headers {
            let values = match values {
                Values::One(value) => std::slice::from_ref(value),
                Values::Several(values) => values,
            };
            let header = HeaderName::from_bytes(name.as_bytes());
            let header = header.map_err(|_| wrong("the name of a header is not valid"))?;
            for value in values {
                let value = HeaderValue::from_str(value)
                    .map_err(|_| wrong(&format!("the value of `{header}` is not valid")))?;
                headers.append(&header, value);
            }
        }
        Ok(headers)
    }
}

fn status(code: u16) -> Result<StatusCode, Problem> {
    let status = StatusCode::from_u16(code).ok().filter(|status| is_final(*status));
    status.ok_or_else(|| wrong("a status is 200 to 599"))
}

fn wrong(detail: &str) -> Problem {
    Problem::Unprocessable(detail.to_owned())
}
