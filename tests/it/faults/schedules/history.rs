//! The history of one key: the responses that clients got, and the effects in the ledger.

use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

/// A time in milliseconds since 1970, as the ledger has it.
pub(super) type At = u64;

/// An effect, as it is in the ledger.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Effect {
    pub(super) key: String,
    pub(super) attempt: u32,
    pub(super) id: String,
    pub(super) at: At,
}

/// What became of one request.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) begun: At,
    pub(super) ended: At,
    pub(super) sandbox: usize,
    pub(super) said: Said,
}

#[derive(Debug, Clone)]
pub(super) enum Said {
    /// No response: the client or the server hung up.
    Nothing(String),
    Response(Response),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) is_replay: bool,
    pub(super) location: Option<String>,
    pub(super) body: Bytes,
}

impl Response {
    fn member(&self, name: &str) -> Option<Value> {
        let mut body: Value = serde_json::from_slice(&self.body).ok()?;
        body.get_mut(name).map(Value::take)
    }

    /// The code of a rejection by the layer.
    pub(super) fn code(&self) -> Option<String> {
        self.member("code")?.as_str().map(str::to_owned)
    }

    /// Which effect the response tells of.
    pub(super) fn id(&self) -> Option<String> {
        self.member("id")?.as_str().map(str::to_owned)
    }

    pub(super) fn attempt(&self) -> Option<u64> {
        self.member("attempt")?.as_u64()
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the client should ask again: the request is in flight, or the store or the server is
    /// not there.
    pub(super) fn is_for_now(&self) -> bool {
        self.status == 503
            || (self.status == 409 && self.code().as_deref() == Some("idempotency_key_in_flight"))
    }
}

/// One key, from its first request to its last.
#[derive(Debug, Clone)]
pub(super) struct History {
    pub(super) key: String,
    pub(super) order: String,
    /// Whether its handler fails and has no effect.
    pub(super) fails: bool,
    /// Whether it had no definitive response, long after the last fault.
    pub(super) is_stuck: bool,
    pub(super) heard: Vec<Heard>,
}

impl History {
    /// The responses, in their order.
    pub(super) fn responses(&self) -> impl Iterator<Item = (&Heard, &Response)> {
        self.heard.iter().filter_map(|heard| match &heard.said {
            Said::Response(response) => Some((heard, response)),
            Said::Nothing(_) => None,
        })
    }

    pub(super) fn first_sent(&self) -> At {
        self.heard.iter().map(|heard| heard.begun).min().unwrap_or_default()
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing(why) => write!(f, "nothing: {why}"),
            Self::Response(response) => {
                let body = String::from_utf8_lossy(&response.body);
                let shown: String = body.chars().take(200).collect();
                let how = if response.is_replay { " (replay)" } else { "" };
                let code = response.code().unwrap_or(shown);
                write!(f, "{}{how}, location {:?}: {code}", response.status, response.location)
            }
        }
    }
}
