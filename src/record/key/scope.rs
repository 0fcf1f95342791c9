//! Whose keys these are: the [`Scope`], and the [`ScopeDigest`] that stores see of it.

use std::fmt;

use crate::record::digest::Framed;
use crate::record::frame::Writer;

/// Whose keys these are: a tenant, a principal, an account. The same key in two scopes is two operations.
///
/// Only a digest of it reaches a store. `Debug` shows nothing of it, because it is often a credential.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    bytes: Vec<u8>,
    is_anonymous: bool,
}

impl Scope {
    /// A scope of its own for each distinct value, an empty one included.
    pub fn new(principal: impl AsRef<[u8]>) -> Self {
        let mut bytes = vec![1];
        bytes.extend_from_slice(principal.as_ref());
        Self { bytes, is_anonymous: false }
    }

    /// The one scope that all callers without an identity share.
    ///
    /// Each of them can replay the response of another whose key it guesses. Use it only for
    /// operations whose responses are not secret.
    pub fn anonymous() -> Self {
        Self { bytes: Vec::new(), is_anonymous: true }
    }

    /// The same caller on one host of several, as a layer with
    /// [`host_in_scope`](crate::IdempotencyLayer::host_in_scope) has it. Use it to
    /// [`inspect`](crate::IdempotencyLayer::inspect) a key. The host is as the client sends it, with a port
    /// where the client sends one; case does not count.
    #[must_use]
    pub fn on_host(self, host: &str) -> Self {
        self.on_hosts(&[host.to_ascii_lowercase().into_bytes()])
    }

    /// The same for all hosts that a request names. No list of them reads as another one.
    pub(crate) fn on_hosts(self, hosts: &[Vec<u8>]) -> Self {
        let mut bytes = vec![2];
        let mut writer = Writer::new(&mut bytes);
        writer.number(hosts.len());
        for host in hosts {
            writer.sized(host);
        }
        writer.bytes(&self.bytes);
        Self { bytes, ..self }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scope(..)")
    }
}

/// Tells one scope from another in a store, and nothing else about it: the first 16 bytes of a
/// digest. A store that limits what one scope takes counts by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeDigest([u8; 16]);

impl ScopeDigest {
    /// [`Scope::anonymous`], whatever the host: a caller without an identity may name any host.
    pub const ANONYMOUS: Self = Self([0; 16]);

    /// All requests of a layer without a [`scope`](crate::IdempotencyLayer::scope). Its callers are not
    /// distinguished, so limits of one scope do not apply to them.
    pub const UNSET: Self = Self([0xff; 16]);

    /// Digests a scope. With a secret the digest is keyed, so that a reader of the store cannot try
    /// out guesses.
    pub fn of(secret: Option<&[u8; 32]>, scope: &Scope) -> Self {
        if scope.is_anonymous {
            return Self::ANONYMOUS;
        }
        let mut framed = Framed::new("scope 1");
        framed.field(scope.as_bytes());
        let digest = framed.finish(secret);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.as_bytes()[..16]);
        Self(bytes)
    }
}

/// The first 8 hexadecimal digits: too few to try out guesses against.
impl fmt::Debug for ScopeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScopeDigest(")?;
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("..)")
    }
}
