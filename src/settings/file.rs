//! The settings that a file or the environment may have.

use std::num::NonZeroU32;
use std::time::Duration;

use http::{HeaderName, Method};
use serde::{Deserialize, Serialize};

use super::{InFlight, OnAbandoned, OnFailed, OnOutage};
use crate::http::rejection::OnMismatch;
use crate::http::response::StoredResponse;
use crate::record::fingerprint::JsonPointer;

mod features;
mod in_flight;
mod text;

pub(crate) use text::AsText;

/// Settings of a layer as plain values, from a file or the environment, in any format of serde.
/// [`IdempotencyLayer::settings`](crate::IdempotencyLayer::settings) applies them.
///
/// Each field has the name of a setter of [`IdempotencyLayer`](crate::IdempotencyLayer), and its
/// limits. A field that is absent leaves the layer as it is. An unknown field is an error.
///
/// | value | fields | written as |
/// |---|---|---|
/// | duration | `body_timeout`, `capture_timeout`, `lease`, `retention`, `retry_after`, `store_timeout` | `300ms`, `10s`, `24h`, `7d`, `1h 30m` |
/// | size | `compress_above`, `max_held_bytes`, `max_request`, `max_response` | `64KiB`, `1MiB`, `2GiB`, or a number of bytes |
/// | number | `max_in_flight`, `max_waiting`, `new_keys_per_minute`, `retry_conflicts` | `100` |
/// | switch | `host_in_scope`, `mark_original`, `require_key`, `strict_keys` | `true`, `false` |
/// | header names | `exclude_headers`, `fingerprint_headers`, `headers`, `store_headers`, `store_only_headers` | a list |
/// | header name | `replay_marker` | `idempotent-replayed` |
/// | methods | `methods` | a list, in upper case |
/// | JSON pointer | `key_in_body` | `/idempotency_key` |
/// | text | `namespace` | `payments` |
/// | `in_flight` | | `reject`, or an object: `{"wait": "5s"}` |
/// | `on_abandoned` | | `rerun`, `reject` |
/// | `on_failed` | | `rerun`, `replay`, `reject` |
/// | `on_mismatch` | | `conflict`, `unprocessable_content`, `bad_request` |
/// | `on_outage` | | `fail_closed`, `fail_open_risking_double_effects` |
/// | `stored_response` | | `full`, `status`, `digest`, `nothing` |
///
/// These are not fields:
///
/// - What is code: the scope, `classify`, rules of fingerprints, quotas.
/// - What is a contract with clients: the profiles `ietf` and `stripe`. Call a profile first.
/// - What is secret: `secret` and `encrypt`. Pass them from where the service has its secrets.
///
/// ```
/// use tower_idempotency::{IdempotencyLayer, MemoryStore, Scope, Settings};
///
/// // The service's own settings. A service reads them from its file.
/// #[derive(serde::Deserialize)]
/// struct Config {
///     #[serde(default)]
///     idempotency: Settings,
/// }
///
/// let config: Config = toml::from_str(
///     r#"
///     [idempotency]
///     namespace = "payments"
///     require_key = true
///     retention = "7d"
///     in_flight = { wait = "5s" }
///     max_request = "256KiB"
///     "#,
/// )?;
/// let layer = IdempotencyLayer::new(MemoryStore::new())
///     .scope(|_| Scope::new("the account"))
///     .settings(config.idempotency);
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body_timeout: Option<AsText<Duration>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) capture_timeout: Option<AsText<Duration>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "features::compression")]
    pub(crate) compress_above: Option<AsText<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exclude_headers: Option<Vec<AsText<HeaderName>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fingerprint_headers: Option<Vec<AsText<HeaderName>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) headers: Option<Vec<AsText<HeaderName>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host_in_scope: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_flight: Option<InFlight>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_in_body: Option<AsText<JsonPointer>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "text::above_zero")]
    pub(crate) lease: Option<AsText<Duration>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mark_original: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_held_bytes: Option<AsText<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_in_flight: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_request: Option<AsText<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_response: Option<AsText<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_waiting: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) methods: Option<Vec<AsText<Method>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "features::quota")]
    pub(crate) new_keys_per_minute: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_abandoned: Option<OnAbandoned>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_failed: Option<OnFailed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_mismatch: Option<OnMismatch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_outage: Option<OnOutage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) replay_marker: Option<AsText<HeaderName>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) require_key: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "text::above_zero")]
    pub(crate) retention: Option<AsText<Duration>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after: Option<AsText<Duration>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_conflicts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) store_headers: Option<Vec<AsText<HeaderName>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) store_only_headers: Option<Vec<AsText<HeaderName>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) store_timeout: Option<AsText<Duration>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stored_response: Option<StoredResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "features::strict_keys")]
    pub(crate) strict_keys: Option<bool>,
}
