//! Parsers for the values of flags, and how an error shows a rejected value.

use std::time::Duration;

use super::StoreChoice;

/// The value as an error may show it: without keys, and without the part of a URL after `://`,
/// which can contain a password.
pub(super) fn shown(flag: &str, value: &str) -> String {
    match value.split_once("://") {
        _ if flag == "--encryption-key" => "…".into(),
        Some((scheme, _)) => format!("{scheme}://…"),
        None => value.into(),
    }
}

pub(super) fn hex(value: &str) -> Result<[u8; 32], String> {
    let mut key = [0; 32];
    if value.len() != 64 || !value.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err("not 64 hexadecimal digits".into());
    }
    for (byte, start) in key.iter_mut().zip((0..64).step_by(2)) {
        *byte =
            u8::from_str_radix(&value[start..start + 2], 16).map_err(|error| error.to_string())?;
    }
    Ok(key)
}

pub(super) fn store(value: &str) -> Result<StoreChoice, String> {
    let redis = ["redis://", "redis+cluster://", "redis+sentinel://"];
    if value == "memory" {
        Ok(StoreChoice::Memory)
    } else if redis.iter().any(|scheme| value.starts_with(scheme)) {
        Ok(StoreChoice::Redis(value.into()))
    } else if value.starts_with("postgres://") {
        Ok(StoreChoice::Postgres(value.into()))
    } else if let Some(rest) = value.strip_prefix("postgres+tx://") {
        Ok(StoreChoice::PostgresTx(format!("postgres://{rest}")))
    } else if let Some(path) = value.strip_prefix("sqlite:") {
        file(path).map(StoreChoice::Sqlite)
    } else if let Some(path) = value.strip_prefix("sqlite+tx:") {
        file(path).map(StoreChoice::SqliteTx)
    } else {
        Err("not memory, a redis:// or postgres:// URL, or sqlite:PATH; see --help".into())
    }
}

fn file(path: &str) -> Result<String, String> {
    if path.is_empty() { Err("not a path".into()) } else { Ok(path.into()) }
}

pub(super) fn duration(value: &str) -> Result<Duration, String> {
    let (number, unit) = number_and_unit(value);
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60 * 1_000,
        "h" => 60 * 60 * 1_000,
        _ => return Err("not a duration like 300ms, 10s or 24h".into()),
    };
    let number: u64 = number.parse().map_err(|_| "not a duration like 300ms, 10s or 24h")?;
    // A longer duration is a typing error, and would overflow the clocks of stores.
    let millis = number.checked_mul(millis).filter(|millis| *millis <= LONGEST_MS);
    millis.map(Duration::from_millis).ok_or_else(|| "longer than ten years".into())
}

const LONGEST_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;

pub(super) fn size(value: &str) -> Result<usize, String> {
    let (number, unit) = number_and_unit(value);
    let unit: usize = match unit {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("not a size like 300, 64KiB or 1MiB".into()),
    };
    let number: usize = number.parse().map_err(|_| "not a size like 300, 64KiB or 1MiB")?;
    number.checked_mul(unit).ok_or_else(|| "too large".into())
}

fn number_and_unit(value: &str) -> (&str, &str) {
    let end = value.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(value.len());
    value.split_at(end)
}
