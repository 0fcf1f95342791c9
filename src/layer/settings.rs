//! Settings from a file.

use super::IdempotencyLayer;
use crate::settings::labels::Labels;
use crate::settings::{AsText, Config, Fields, Settings};
use crate::store::Store;

mod covers;
mod features;

impl<St: Store> IdempotencyLayer<St> {
    /// Applies settings that were read from a file or the environment.
    ///
    /// A setting that is absent stays as it is. The other settings replace what was set before,
    /// except `store_headers` and `exclude_headers`, which add to it as their setters do. A setter
    /// that comes later still counts.
    ///
    /// So the order decides who has the last word:
    ///
    /// 1. A profile ([`ietf`](Self::ietf) or [`stripe`](Self::stripe)), and the defaults of the
    ///    service.
    /// 2. `settings`: the file overrides them.
    /// 3. What no file may change, for example [`require_key`](Self::require_key) and
    ///    [`namespace`](Self::namespace) of a route.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use tower_idempotency::{IdempotencyLayer, MemoryStore, Scope, Settings};
    ///
    /// # fn guard(from_file: Settings) -> IdempotencyLayer<MemoryStore> {
    /// IdempotencyLayer::new(MemoryStore::new())
    ///     .retention(Duration::from_hours(7 * 24)) // Unless the file says otherwise.
    ///     .settings(from_file)
    ///     .namespace("payments") // Whatever the file says.
    ///     .require_key()
    ///     .scope(|_| Scope::new("the account"))
    /// # }
    /// ```
    #[must_use]
    #[allow(clippy::too_many_lines, reason = "one line for each setting")]
    pub fn settings(self, settings: Settings) -> Self {
        covers::every_setting(&self.config);
        let Settings(Fields {
            body_timeout,
            capture_timeout,
            compress_above,
            exclude_headers,
            fingerprint_headers,
            headers,
            host_in_scope,
            in_flight,
            key_in_body,
            label_records,
            lease,
            mark_original,
            max_held_bytes,
            max_in_flight,
            max_request,
            max_response,
            max_waiting,
            methods,
            namespace,
            new_keys_per_minute,
            on_abandoned,
            on_failed,
            on_mismatch,
            on_outage,
            replay_marker,
            require_key,
            retention,
            retry_after,
            retry_conflicts,
            store_headers,
            store_only_headers,
            store_timeout,
            stored_response,
            strict_keys,
        }) = settings;
        self.with(plain(body_timeout), Self::body_timeout)
            .with(plain(capture_timeout), Self::capture_timeout)
            .change(plain(compress_above), |config, bytes| {
                config.packing.compress_above = Some(bytes);
            })
            .with(all(exclude_headers), Self::exclude_headers)
            .with(all(fingerprint_headers), Self::fingerprint_headers)
            .with(all(headers), Self::headers)
            .change(host_in_scope, |config, is_on| config.host_in_scope = is_on)
            .with(in_flight, Self::in_flight)
            .with(plain(key_in_body), Self::key_in_body)
            .change(label_records, |config, is_on| config.labels = is_on.then(Labels::of_routes))
            .with(plain(lease), Self::lease)
            .change(mark_original, |config, is_on| config.mark_original = is_on)
            .with(plain(max_held_bytes), Self::max_held_bytes)
            .with(max_in_flight, Self::max_in_flight)
            .with(plain(max_request), Self::max_request)
            .with(plain(max_response), Self::max_response)
            .with(max_waiting, Self::max_waiting)
            .with(all(methods), Self::methods)
            .with(namespace, Self::namespace)
            .change(new_keys_per_minute, features::new_keys_per_minute)
            .with(on_abandoned, Self::on_abandoned)
            .with(on_failed, Self::on_failed)
            .with(on_mismatch, Self::on_mismatch)
            .with(on_outage, Self::on_outage)
            .with(plain(replay_marker), Self::replay_marker)
            .change(require_key, |config, is_on| config.require_key = is_on)
            .with(plain(retention), Self::retention)
            .with(plain(retry_after), Self::retry_after)
            .with(retry_conflicts, Self::retry_conflicts)
            .with(all(store_headers), Self::store_headers)
            .with(all(store_only_headers), Self::store_only_headers)
            .with(plain(store_timeout), Self::store_timeout)
            .with(stored_response, Self::stored_response)
            .change(strict_keys, features::strict_keys)
    }

    /// Calls the setter, if there is a value.
    fn with<T>(self, value: Option<T>, setter: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => setter(self, value),
            None => self,
        }
    }

    /// The same for a setting whose setter can only turn it on, or is in a feature.
    fn change<T>(self, value: Option<T>, change: impl FnOnce(&mut Config, T)) -> Self {
        self.with(value, |layer, value| layer.set(|config| change(config, value)))
    }
}

fn plain<T>(value: Option<AsText<T>>) -> Option<T> {
    value.map(|AsText(value)| value)
}

fn all<T>(values: Option<Vec<AsText<T>>>) -> Option<Vec<T>> {
    values.map(|values| values.into_iter().map(|AsText(value)| value).collect())
}

// They need the features of all fields.
#[cfg(all(test, feature = "compression", feature = "quota", feature = "strict-keys"))]
mod tests;
