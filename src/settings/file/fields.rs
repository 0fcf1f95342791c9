//! The fields of a file, as serde reads and writes them.

use std::num::NonZeroU32;
use std::time::Duration;

use http::{HeaderName, Method};
use serde::{Deserialize, Serialize};

use super::{AsText, features, least};
use crate::http::rejection::OnMismatch;
use crate::http::response::StoredResponse;
use crate::record::fingerprint::JsonPointer;
use crate::settings::{InFlight, OnAbandoned, OnFailed, OnOutage};

/// Each has the name of its setter. `None` leaves the layer as it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename = "Settings")]
pub(crate) struct Fields {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "least::body_timeout")]
    pub(crate) body_timeout: Option<AsText<Duration>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "least::capture_timeout")]
    pub(crate) capture_timeout: Option<AsText<Duration>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "features::compression")]
    pub(crate) compress_above: Option<AsText<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exclude_headers: Option<Vec<AsText<HeaderName>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fingerprint_headers: Option<Vec<AsText<HeaderName>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "least::headers")]
    pub(crate) headers: Option<Vec<AsText<HeaderName>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host_in_scope: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_flight: Option<InFlight>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_in_body: Option<AsText<JsonPointer>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) label_records: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "least::lease")]
    pub(crate) lease: Option<AsText<Duration>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mark_original: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_held_bytes: Option<AsText<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "least::max_in_flight")]
    pub(crate) max_in_flight: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "least::max_request")]
    pub(crate) max_request: Option<AsText<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "least::max_response")]
    pub(crate) max_response: Option<AsText<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_waiting: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "least::methods")]
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
    #[serde(deserialize_with = "least::retention")]
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
    #[serde(deserialize_with = "least::store_timeout")]
    pub(crate) store_timeout: Option<AsText<Duration>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "features::stored_response")]
    pub(crate) stored_response: Option<StoredResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "features::strict_keys")]
    pub(crate) strict_keys: Option<bool>,
}
