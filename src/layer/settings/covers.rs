//! Which settings a file can have.

use crate::http::response::StoredParts;
use crate::settings::{Config, Policies};
use crate::store::pack::Packing;

/// A new setting does not compile until it is named here. If it is a plain value, it needs a field
/// of [`Settings`](crate::Settings) too.
pub(super) fn every_setting(config: &Config) {
    let Config {
        // Fields of `Settings`.
        headers: _,
        key_pointer: _,
        key_form: _,
        methods: _,
        require_key: _,
        namespace: _,
        host_in_scope: _,
        labels: _,
        max_request: _,
        body_timeout: _,
        max_response: _,
        capture_timeout: _,
        lease: _,
        retention: _,
        store_timeout: _,
        policies:
            Policies {
                in_flight: _,
                on_failed: _,
                on_abandoned: _,
                on_outage: _,
                on_mismatch: _,
                retry_conflicts: _,
                retry_after: _,
            },
        in_flight_limit: _,
        budgets: _,
        new_keys: _,
        stored: StoredParts { level: _, also: _, only: _, never: _ },
        mark_original: _,
        replay_marker: _,
        // One field, and code or a secret.
        packing: Packing { compress_above: _, encryption: _ },
        fingerprinting: _,
        // Code.
        traces: _,
        scope: _,
        quota: _,
        classify: _,
        rejection_response: _,
        // Secrets.
        secret: _,
        downstream: _,
        // Not a setting.
        warned: _,
    } = config;
}
