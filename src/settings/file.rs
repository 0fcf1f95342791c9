//! The settings that a file or the environment may have.

use serde::Serialize;

mod features;
mod fields;
pub(crate) mod in_code;
mod in_flight;
mod least;
mod text;

pub(crate) use fields::Fields;
pub(crate) use text::AsText;

/// Settings of a layer as plain values, from a file or the environment, in any format of serde.
/// [`IdempotencyLayer::settings`](crate::IdempotencyLayer::settings) applies them.
///
/// Each field has the name of a setter of [`IdempotencyLayer`](crate::IdempotencyLayer), and its
/// limits. A field that is absent leaves the layer as it is. An unknown field is an error. So is a
/// value that switches a part of the layer off:
///
/// | fields | at least |
/// |---|---|
/// | `lease` | 100 ms |
/// | `retention` | 1 s |
/// | `body_timeout`, `capture_timeout`, `store_timeout` | 10 ms |
/// | `max_in_flight`, `max_request`, `max_response` | 1 |
/// | `headers`, `methods` | one entry |
///
/// Values are written so:
///
/// | value | fields | written as |
/// |---|---|---|
/// | duration | `body_timeout`, `capture_timeout`, `lease`, `retention`, `retry_after`, `store_timeout` | `300ms`, `10s`, `5m`, `24h`, `7d`, `1h 30m` |
/// | size | `compress_above`, `max_held_bytes`, `max_request`, `max_response` | `64KiB`, `1MiB`, `2GiB`, or a number of bytes |
/// | number | `max_in_flight`, `max_waiting`, `new_keys_per_minute`, `retry_conflicts` | `100` |
/// | switch | `host_in_scope`, `label_records`, `mark_original`, `require_key`, `strict_keys` | `true`, `false` |
/// | header names | `exclude_headers`, `fingerprint_headers`, `headers`, `store_headers`, `store_only_headers` | a list |
/// | header name | `replay_marker` | `idempotent-replayed` |
/// | methods | `methods` | a list, in upper case |
/// | JSON pointer | `key_in_body` | `/idempotency_key` |
/// | text | `namespace` | `payments` |
/// | `in_flight` | | `reject`, or an object: `{"wait": "5s"}` in JSON, `{ wait = "5s" }` in TOML |
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
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(transparent)]
pub struct Settings(pub(crate) Fields);
