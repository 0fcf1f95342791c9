//! Values of settings that switch a part of the layer off.

use std::time::Duration;

use super::{Config, Policies};
use crate::http::response::StoredParts;

/// The least `lease`.
pub(crate) const LEASE: Duration = Duration::from_millis(100);
/// The least `retention`.
pub(crate) const RETENTION: Duration = Duration::from_secs(1);
/// The least `body_timeout`, `capture_timeout` and `store_timeout`.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(10);

/// A setting whose value switches a part of the layer off.
pub(crate) struct SwitchedOff {
    /// The name of the setter.
    pub(crate) setting: &'static str,
    /// What the value is, and what follows.
    pub(crate) effect: &'static str,
    /// The place of the setting, so that each is logged once.
    pub(crate) bit: u16,
}

impl Config {
    /// The settings whose values switch a part of the layer off. A file cannot have them.
    ///
    /// A new setting does not compile until it is named here.
    #[allow(clippy::too_many_lines, reason = "one line for each setting")]
    pub(crate) fn switched_off(&self) -> impl Iterator<Item = SwitchedOff> {
        let Self {
            headers,
            key_pointer,
            methods,
            secret,
            max_request,
            body_timeout,
            max_response,
            capture_timeout,
            lease,
            retention,
            store_timeout,
            in_flight_limit,
            packing,
            // Every value has its use.
            key_form: _,
            require_key: _,
            namespace: _,
            scope: _,
            host_in_scope: _,
            labels: _,
            traces: _,
            fingerprinting: _,
            policies:
                Policies {
                    // A wait of zero is the 409 at once.
                    in_flight: _,
                    on_failed: _,
                    on_abandoned: _,
                    on_outage: _,
                    on_mismatch: _,
                    retry_conflicts: _,
                    // Zero is sent as one second.
                    retry_after: _,
                },
            quota: _,
            // At zero no request waits, and no body is held.
            budgets: _,
            new_keys: _,
            classify: _,
            rejection_response: _,
            // An empty list means what it says.
            stored: StoredParts { level: _, also: _, only: _, never: _ },
            mark_original: _,
            replay_marker: _,
            // Not settings.
            downstream: _,
            warned: _,
        } = self;
        let no_header = headers.is_empty() && key_pointer.is_none();
        let all = [
            (
                no_header,
                "headers",
                "is empty: the layer finds no key, so that no request is guarded",
            ),
            (methods.is_empty(), "methods", "is empty: no request is guarded"),
            (
                in_flight_limit.as_ref().is_some_and(|limit| limit.is_closed()),
                "max_in_flight",
                "is 0: each new operation gets 503",
            ),
            (*max_request == 0, "max_request", "is 0: each request with a body gets 413"),
            (
                *max_response == 0,
                "max_response",
                "is 0: no response with a body is stored, and a retry gets 409",
            ),
            (
                *lease < LEASE,
                "lease",
                "is below 100ms: after a short pause of the process, a retry runs beside the first \
                 attempt",
            ),
            (*retention < RETENTION, "retention", "is below 1s: a retry finds no record, and runs"),
            (
                *store_timeout < TIMEOUT,
                "store_timeout",
                "is below 10ms: a store outside of the process counts as down",
            ),
            (
                *body_timeout < TIMEOUT,
                "body_timeout",
                "is below 10ms: a request body that is not there at once gets 408",
            ),
            (
                *capture_timeout < TIMEOUT,
                "capture_timeout",
                "is below 10ms: a response body that is not there at once is not stored, and a \
                 retry gets 409",
            ),
            (
                secret.as_ref().is_some_and(|secret| ***secret == [0; 32]),
                "secret",
                "is 32 zero bytes: a reader of the store can guess it",
            ),
            (
                packing.is_encrypted_with_zeros(),
                "encrypt",
                "has a key of 32 zero bytes: a reader of the store can decrypt the responses",
            ),
        ];
        let all = all.into_iter().zip(0_u16..);
        all.filter(|((is_off, ..), _)| *is_off).map(|((_, setting, effect), place)| SwitchedOff {
            setting,
            effect,
            bit: 1 << place,
        })
    }
}

#[cfg(test)]
mod tests;
