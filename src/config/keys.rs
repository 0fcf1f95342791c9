//! Where the key of a request comes from: headers, or the body. Never the URL, which stands in logs and histories, and never
//! a cookie, which a browser sends along with what somebody else wrote.

use http::{HeaderMap, HeaderName};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::Config;
use crate::fingerprint::has_repeated_members;
use crate::key::{IdempotencyKey, KeyError};

impl Config {
    /// The key in the head of a request, if it has one: in one header, once, or in several and the same.
    pub(crate) fn key_in_head(&self, headers: &HeaderMap) -> Result<Option<IdempotencyKey>, KeyError> {
        let mut found = None;
        for name in &self.headers {
            found = agreed(found, self.key_in(headers, name)?)?;
        }
        Ok(found)
    }

    fn key_in(&self, headers: &HeaderMap, name: &HeaderName) -> Result<Option<IdempotencyKey>, KeyError> {
        let Some(value) = headers.get(name) else {
            return Ok(None);
        };
        if headers.get_all(name).iter().nth(1).is_some() {
            return Err(KeyError::Repeated);
        }
        (self.parse_key)(value.as_bytes()).map(Some)
    }

    /// The key of a request whose head and body are known: in either, or in both and the same.
    pub(crate) fn key_of(
        &self,
        in_head: Option<IdempotencyKey>,
        body: &[u8],
    ) -> Result<Option<IdempotencyKey>, KeyError> {
        agreed(in_head, self.key_in_body(body)?)
    }

    /// A body that is not JSON has no key, and neither has one whose member is missing or null. Whatever the content type:
    /// a handler may not look at it either.
    fn key_in_body(&self, body: &[u8]) -> Result<Option<IdempotencyKey>, KeyError> {
        let Some(pointer) = &self.key_pointer else {
            return Ok(None);
        };
        let json = match serde_json::from_slice::<Value>(body) {
            Ok(json) => json,
            // It is JSON, and a handler that skips the part which cannot be read (too deep, not a text, a number out of
            // range) would find a key.
            Err(_) if serde_json::from_slice::<IgnoredAny>(body).is_ok() => return Err(KeyError::Unreadable),
            Err(_) => return Ok(None),
        };
        // Another parser may take the first of two members where this one takes the last.
        if has_repeated_members(body, &json) {
            return Err(KeyError::Ambiguous);
        }
        match pointer.look_up(&json) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(key)) => IdempotencyKey::bare(key.as_bytes()).map(Some),
            Some(_) => Err(KeyError::NotText),
        }
    }
}

fn agreed(
    one: Option<IdempotencyKey>,
    other: Option<IdempotencyKey>,
) -> Result<Option<IdempotencyKey>, KeyError> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => Err(KeyError::Conflicting),
        (one, other) => Ok(one.or(other)),
    }
}

#[cfg(test)]
mod tests;
