//! Reads the key of a request from its headers or its body.
//!
//! The key never comes from the URL, which logs and browser histories contain. It never comes from
//! a cookie, which a browser also sends with requests from another site.

use http::{HeaderMap, HeaderName, Method, header};
use serde::de::IgnoredAny;

use super::Config;
use crate::http::rejection::Rejection;
use crate::record::fingerprint::{Document, Flaw, JsonPointer, Value};
use crate::record::key::{IdempotencyKey, KeyError};

impl Config {
    /// The key in the head of a request, if it has one. Several headers must have the same key, and
    /// each may occur once.
    pub(crate) fn key_in_head(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<IdempotencyKey>, KeyError> {
        let mut found = None;
        for name in &self.headers {
            found = agreed(found, self.key_in(headers, name)?)?;
        }
        Ok(found)
    }

    /// The rejection of a request without a key. It says where the layer looks.
    pub(crate) fn key_missing(&self) -> Rejection {
        Rejection::KeyMissing { headers: self.headers.clone(), member: self.key_pointer.clone() }
    }

    /// Logs once for each method that a request with a key passed through, because its client relies
    /// on the key. The same for any request that may have an effect, if keys are required.
    pub(crate) fn passes_through(&self, method: &Method, headers: &HeaderMap) {
        let has_key = || self.headers.iter().any(|name| headers.contains_key(name));
        if self.require_key && !method.is_safe() {
            if self.warned.is_first_on(method) {
                tracing::warn!(
                    %method,
                    "a request passed through unguarded although keys are required, because its \
                     method is not guarded: a retry runs again; add the method by \
                     `IdempotencyLayer::methods`"
                );
            }
        } else if has_key() && self.warned.is_first_on(method) {
            tracing::warn!(
                %method,
                "a request with an idempotency key passed through, because its method is not \
                 guarded: a retry runs again; add the method by `IdempotencyLayer::methods`, or \
                 send no key with it"
            );
        }
    }

    fn key_in(
        &self,
        headers: &HeaderMap,
        name: &HeaderName,
    ) -> Result<Option<IdempotencyKey>, KeyError> {
        let mut values = headers.get_all(name).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(KeyError::Repeated);
        }
        (self.key_form.parse)(value.as_bytes()).map(Some)
    }

    /// The key of a request from its head and its body. If both have a key, the two must be equal.
    pub(crate) fn key_of(
        &self,
        in_head: Option<IdempotencyKey>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Option<IdempotencyKey>, KeyError> {
        let Some(pointer) = &self.key_pointer else {
            return Ok(in_head);
        };
        // A layer further in may decompress the body and find a key.
        if in_head.is_none() && headers.contains_key(header::CONTENT_ENCODING) {
            return Err(KeyError::Unreadable);
        }
        agreed(in_head, key_at(pointer, body)?)
    }
}

/// A body has no key if it is not JSON, or if the member is missing or null. The content type does
/// not count, because a handler may not read it either.
fn key_at(pointer: &JsonPointer, body: &[u8]) -> Result<Option<IdempotencyKey>, KeyError> {
    let document = match Document::parse(body) {
        Ok(document) => document,
        Err(_) if serde_json::from_slice::<IgnoredAny>(body).is_err() => return Ok(None),
        // Another parser may take the first of two members where this one takes the last.
        Err(Flaw::Repeated) => return Err(KeyError::Ambiguous),
        // A handler that skips the part that this parser rejects may find a key.
        Err(Flaw::Unreadable) => return Err(KeyError::Unreadable),
    };
    match document.look_up(pointer) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(key)) => IdempotencyKey::bare(key.as_bytes()).map(Some),
        Some(_) => Err(KeyError::NotText),
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
