//! Which settings the checklist covers.

use crate::settings::{Config, Policies};

/// A new setting does not compile until it is named here.
pub(super) fn every_setting(config: &Config) {
    let Config {
        // Items.
        scope: _,
        namespace: _,
        require_key: _,
        secret: _,
        packing: _,
        store_timeout: _,
        retention: _,
        in_flight_limit: _,
        quota: _,
        new_keys: _,
        host_in_scope: _,
        policies:
            Policies {
                on_outage: _,
                // Not items: each choice is fine in production.
                in_flight: _,
                on_failed: _,
                on_abandoned: _,
                on_mismatch: _,
                retry_conflicts: _,
                retry_after: _,
            },
        // The item `values`: it also looks at other settings, see `Config::switched_off`.
        headers: _,
        key_pointer: _,
        methods: _,
        max_request: _,
        body_timeout: _,
        max_response: _,
        capture_timeout: _,
        lease: _,
        // Not items: each choice is fine in production, or its default is.
        key_form: _,
        fingerprinting: _,
        labels: _,
        traces: _,
        classify: _,
        rejection_response: _,
        stored: _,
        mark_original: _,
        replay_marker: _,
        // Not settings.
        downstream: _,
        budgets: _,
        warned: _,
    } = config;
}
