//! Parsers for the values of options. No error contains a secret.

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use tower_idempotency::IdempotencyKey;
use tower_idempotency::store::ScopeDigest;

use super::key::Bytes;

/// The fewest digits of a record: as many as logs show.
const SHORTEST: usize = 8;
const LONGEST: usize = 64;

pub(super) fn digits(value: &str) -> Result<String, String> {
    let is_hex = value.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_hex && (SHORTEST..=LONGEST).contains(&value.len()) {
        return Ok(value.to_ascii_lowercase());
    }
    Err("not 8 to 64 hexadecimal digits: for the key of a client, use --key and --scope".into())
}

/// The key as the header has it. A key with spaces needs no quotes here.
pub(super) fn key(value: &str) -> Result<IdempotencyKey, String> {
    IdempotencyKey::parse(value.as_bytes()).or_else(|error| {
        let is_quoted = value.starts_with('"');
        let strict = if is_quoted { value.to_owned() } else { format!("\"{value}\"") };
        IdempotencyKey::parse_strict(strict.as_bytes()).map_err(|_| error.to_string())
    })
}

pub(super) fn duration(value: &str) -> Result<Duration, String> {
    humantime::parse_duration(value).map_err(|_| "not a duration like 300ms, 90s, 5m or 24h".into())
}

/// 1xx is interim, and above 599 there is no class.
pub(super) fn status(value: &str) -> Result<StatusCode, String> {
    let code = value.parse().ok().filter(|code: &u16| (200..600).contains(code));
    code.and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or_else(|| "not the status of a response: 200 to 599".into())
}

pub(super) fn header(value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = value.split_once(':').ok_or("not a header like `name: value`")?;
    let name = name.trim().parse().map_err(|_| "the name is not that of a header")?;
    let value = value.trim().parse().map_err(|_| "the value is not that of a header")?;
    Ok((name, value))
}

pub(super) fn scope_digest(value: &str) -> Result<ScopeDigest, String> {
    ScopeDigest::from_hex(&value.to_ascii_lowercase())
        .ok_or_else(|| "not the 32 hexadecimal digits that `show` prints".into())
}

pub(super) fn hex(value: &str) -> Result<Bytes, String> {
    crate::secrets::bytes(value).map(Bytes::from).ok_or_else(|| "not hexadecimal digits".into())
}
