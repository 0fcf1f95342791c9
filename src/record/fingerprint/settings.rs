//! The rules by which the layer fingerprints requests.

use std::sync::Arc;

use http::HeaderName;

use super::{Fingerprint, Input, Rule};
use crate::record::secret::SecretKey;

/// The fingerprint settings of the layer. By default raw bytes count, and digests are not keyed.
#[derive(Clone, Default)]
pub(crate) struct Fingerprinting {
    /// The headers that count in addition to the content type.
    pub(crate) headers: Vec<HeaderName>,
    /// `None`: raw bytes.
    pub(crate) rule: Option<Rule>,
    /// The earlier rules, which live records may have been written under.
    pub(crate) earlier: Vec<Rule>,
    pub(super) key: Option<Arc<SecretKey>>,
}

/// The fingerprints of one request.
#[derive(Debug)]
pub(crate) struct Fingerprints {
    pub(crate) own: Fingerprint,
    /// The fingerprints under all other rules that may have written a live record of the same
    /// request.
    pub(crate) others: Vec<Fingerprint>,
}

impl Fingerprinting {
    /// Makes fingerprints depend on the secret of the layer. Their key is derived for this purpose
    /// only, so fingerprints and storage keys reveal nothing about each other.
    pub(crate) fn set_secret(&mut self, secret: &SecretKey) {
        self.key = Some(Arc::new(secret.derive("tower-idempotency 2026 fingerprints 1")));
    }

    /// The fingerprints of a request.
    pub(crate) fn of(&self, operation: &Input<'_>) -> Fingerprints {
        let key = self.key.as_ref().map(|key| &***key);
        let by_rule =
            self.rule.as_ref().and_then(|rule| rule.fingerprint(operation, &self.headers, key));
        let own = by_rule.unwrap_or_else(|| self.raw(operation, key));

        let mut others = Vec::new();
        let mut may_be = |other: Fingerprint| {
            if other != own && !others.contains(&other) {
                others.push(other);
            }
        };
        if by_rule.is_some() {
            may_be(self.raw(operation, key));
        }
        for rule in &self.earlier {
            // A rule that did not apply wrote the raw fingerprint.
            if let Some(other) = rule.fingerprint(operation, &self.headers, key) {
                may_be(other);
            }
        }
        Fingerprints { own, others }
    }

    fn raw(&self, operation: &Input<'_>, key: Option<&[u8; 32]>) -> Fingerprint {
        let (method, path) = (operation.method(), operation.path_and_query());
        Fingerprint::raw(method, path, operation.headers(), &self.headers, operation.body(), key)
    }
}

#[cfg(test)]
mod tests;
