//! The operation that a request asks for, as the layer asks the store for it.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, header};

use crate::handler::attempt::Attempt;
use crate::http::rejection::Rejection;
use crate::record::fingerprint::{Fingerprint, Fingerprints, Input};
use crate::record::key::{IdempotencyKey, Scope, ScopeDigest, StorageKey};
use crate::record::label::RecordLabel;
use crate::settings::Config;
use crate::settings::warned::{ENOUGH, Warning};
use crate::store::{Record, ReserveRequest};

/// The headers in which a caller that is not a browser sends a credential.
const CREDENTIALS: [&str; 3] = ["authorization", "x-api-key", "x-auth-token"];

/// An operation that a caller asks for.
#[derive(Clone)]
pub(crate) struct Requested {
    pub(crate) key: IdempotencyKey,
    pub(crate) scope: Scope,
    pub(crate) reserve: ReserveRequest,
    /// Its fingerprints by the other rules that may have written its record.
    pub(crate) others: Vec<Fingerprint>,
    /// The attempt of an outer layer under the same storage key.
    pub(crate) outer: Option<Attempt>,
    /// How many bytes the request uses while it waits.
    pub(crate) bytes: usize,
    /// Whether the quota has counted the key as a new one of its scope.
    pub(crate) is_counted: bool,
}

impl Requested {
    /// Whether the record is of this operation, by any of the rules.
    pub(crate) fn is_of(&self, found: &Record) -> bool {
        found.fingerprint == self.reserve.fingerprint || self.others.contains(&found.fingerprint)
    }

    /// Adopts the rule that wrote the record, if the record is of this operation by another rule
    /// than the one in force. Returns whether it did.
    pub(crate) fn adopts(&mut self, found: &Record) -> bool {
        match self.others.iter_mut().find(|other| **other == found.fingerprint) {
            Some(other) => {
                std::mem::swap(other, &mut self.reserve.fingerprint);
                true
            }
            None => false,
        }
    }
}

impl Config {
    pub(crate) fn storage_key(&self, scope: &Scope, key: &IdempotencyKey) -> StorageKey {
        StorageKey::derive(self.secret_bytes(), &self.namespace, scope, key)
    }

    /// The operation of an HTTP request.
    pub(crate) fn requested_by(
        &self,
        parts: &Parts,
        key: IdempotencyKey,
        body: &[u8],
    ) -> Result<Requested, Rejection> {
        let scope = self.scope_of(parts)?;
        let Fingerprints { own, others } = self.fingerprinting.of(&Input::new(parts, body));
        if self.fingerprinting.rule.is_some() && own.is_raw() {
            tracing::debug!(
                bytes = body.len(),
                "the fingerprint rule does not apply to a request, so its raw bytes count: a retry \
                 with other bytes is a mismatch; its body may be malformed, ambiguous or over the \
                 budget"
            );
        }
        let label = self.labels.as_ref().map(|labels| labels.of_request(&self.namespace, parts));
        let mut requested = if self.host_in_scope {
            let hosts = hosts(parts);
            // The scope that is counted must not contain what the caller can vary.
            let counted = scope.clone().on_hosts(&without_ports(&hosts));
            let mut requested = self.labelled(counted, key, own, label);
            requested.reserve.key = self.storage_key(&scope.on_hosts(&hosts), &requested.key);
            requested
        } else {
            self.labelled(scope, key, own, label)
        };
        if self.scope.is_none() {
            requested.reserve.scope = ScopeDigest::UNSET;
        }
        let (outer, other): (Option<&Attempt>, _) = match parts.extensions.get::<Attempt>() {
            Some(outer) if outer.runs_under(&requested.reserve.key) => (Some(outer), false),
            other => (None, other.is_some()),
        };
        if other && self.warned.is_first(Warning::OtherAttempt) {
            tracing::warn!(
                "a request has an attempt of another idempotency layer, with another scope, \
                 namespace or secret: both layers store a record of it; remove one of them from \
                 the route, or give both the same settings"
            );
        }
        Ok(Requested { others, outer: outer.cloned(), bytes: body.len(), ..requested })
    }

    /// The caller of a request. Without a `scope` function, all callers are one.
    fn scope_of(&self, parts: &Parts) -> Result<Scope, Rejection> {
        let Some(scope_of) = &self.scope else { return Ok(Scope::anonymous()) };
        let Some(scope) = scope_of(parts) else {
            if self.warned.is_first(Warning::NoCaller) {
                tracing::warn!(
                    "request rejected with 401: the `scope` function found no caller; if callers \
                     have authenticated, put the authentication outside of this layer: on a \
                     `Router` add it after this layer, in a `ServiceBuilder` before it"
                );
            }
            return Err(Rejection::ScopeMissing);
        };
        if self.warned.has_met_only_anonymous(&scope) {
            tracing::warn!(
                callers = ENOUGH,
                "all callers so far are anonymous: each can replay the responses of another; is \
                 this layer outside of the authentication?"
            );
        }
        if self.warned.is_early() {
            self.compare_with_credentials(&scope, &parts.headers);
        }
        Ok(scope)
    }

    /// Tells if the scope ignores the credential of the request, or is that credential.
    fn compare_with_credentials(&self, scope: &Scope, headers: &HeaderMap) {
        let mut credentials = CREDENTIALS.into_iter().flat_map(|name| headers.get_all(name));
        if scope.is_anonymous() {
            if credentials.next().is_some()
                && self.warned.is_first(Warning::AnonymousWithCredential)
            {
                tracing::warn!(
                    "a caller with a credential is anonymous: all such callers share their keys, \
                     and each can replay the responses of another; put the authentication outside \
                     of this layer, and return its account from the `scope` function"
                );
            }
        } else if credentials
            .chain(headers.get_all(header::COOKIE))
            .any(|credential| scope.is_credential(credential.as_bytes()))
            && self.warned.is_first(Warning::ScopeIsCredential)
        {
            tracing::warn!(
                "the scope is the credential of the request: a refreshed one makes a retry a new \
                 operation, and so a second payment; use the account that it belongs to"
            );
        }
    }

    /// An operation of any kind.
    pub(crate) fn requested(
        &self,
        scope: Scope,
        key: IdempotencyKey,
        fingerprint: Fingerprint,
    ) -> Requested {
        let label = self.labels.as_ref().map(|labels| labels.of_operation(&self.namespace));
        self.labelled(scope, key, fingerprint, label)
    }

    fn labelled(
        &self,
        scope: Scope,
        key: IdempotencyKey,
        fingerprint: Fingerprint,
        label: Option<Arc<RecordLabel>>,
    ) -> Requested {
        let storage_key = self.storage_key(&scope, &key);
        let reserve = self.reservation(storage_key, &scope, fingerprint).label(label);
        Requested {
            key,
            scope,
            reserve,
            others: Vec::new(),
            outer: None,
            bytes: 0,
            is_counted: false,
        }
    }

    fn reservation(
        &self,
        key: StorageKey,
        scope: &Scope,
        fingerprint: Fingerprint,
    ) -> ReserveRequest {
        let mut reserve = ReserveRequest::new(key, fingerprint)
            .scope(ScopeDigest::of(self.secret_bytes(), scope))
            .lease(self.lease)
            // The record must outlive its lease, so that a lapsed lease is still visible.
            .retention(self.retention.max(self.lease.saturating_mul(2)));
        self.policies.apply_to(&mut reserve);
        reserve
    }
}

/// The hosts that a request names: the authority of its target (the absolute form, or `:authority`
/// in HTTP/2), and every `Host`. A host that is named several times counts once.
///
/// By RFC 9112, section 3.2.2, the authority wins over `Host`. An application may read either, so a
/// request in which they differ belongs to neither of the two hosts.
fn hosts(parts: &Parts) -> Vec<Vec<u8>> {
    let authority = parts.uri.authority().map(|authority| {
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        host.to_ascii_lowercase().into_bytes()
    });
    let headers =
        parts.headers.get_all(header::HOST).iter().map(|host| host.as_bytes().to_ascii_lowercase());
    let mut hosts: Vec<_> = authority.into_iter().chain(headers).collect();
    hosts.dedup();
    hosts
}

/// The host by which a caller is counted: without its port and trailing dots. Requests that name
/// several hosts are counted together, because a caller can name any number.
fn without_ports(hosts: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut names: Vec<_> = hosts.iter().map(|host| name(host).to_vec()).collect();
    names.dedup();
    if names.len() == 1 { names } else { Vec::new() }
}

fn name(host: &[u8]) -> &[u8] {
    let host = match host.iter().rposition(|byte| *byte == b':') {
        Some(colon) if host[colon + 1..].iter().all(u8::is_ascii_digit) => &host[..colon],
        _ => host,
    };
    let end = host.iter().rposition(|byte| *byte != b'.').map_or(0, |last| last + 1);
    &host[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_counted_without_its_port_and_trailing_dots() {
        for (host, counted) in [
            ("a.example", "a.example"),
            ("a.example:8080", "a.example"),
            ("a.example:", "a.example"),
            ("a.example.:1", "a.example"),
            ("a.example..", "a.example"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("...", ""),
        ] {
            assert_eq!(name(host.as_bytes()), counted.as_bytes(), "{host}");
        }
    }
}
