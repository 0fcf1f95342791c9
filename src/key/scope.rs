//! Whose keys these are: the [`Scope`], and the [`ScopeDigest`] that stores see of it.

use std::fmt;

use crate::digest::Framed;

/// Whose keys these are: a tenant, a principal, an account. The same key in two scopes is two operations.
///
/// Only a digest of it reaches a store. `Debug` shows nothing of it, because it is often a credential.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Scope(Vec<u8>);

impl Scope {
    /// A scope of its own for each distinct value, an empty one included.
    pub fn new(principal: impl AsRef<[u8]>) -> Self {
        let mut bytes = vec![1];
        bytes.extend_from_slice(principal.as_ref());
        Self(bytes)
    }

    /// The one scope that all callers without an identity share.
    ///
    /// Each of them can replay the response of another whose key it guesses. Use it only for
    /// operations whose responses are not secret.
    pub fn anonymous() -> Self {
        Self(Vec::new())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scope(..)")
    }
}

/// Tells one scope from another in a store, and nothing else about it: the first 16 bytes of a
/// digest. A store that limits what one scope takes counts by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeDigest([u8; 16]);

impl ScopeDigest {
    /// [`Scope::anonymous`].
    pub const ANONYMOUS: Self = Self([0; 16]);

    /// All requests of a layer without a [`scope`](crate::IdempotencyLayer::scope): the callers are
    /// not told apart, so limits for one scope do not apply to them.
    pub const UNSET: Self = Self([0xff; 16]);

    /// Digests a scope. With a secret the digest is keyed, so that a reader of the store cannot try
    /// out guesses.
    pub fn of(secret: Option<&[u8; 32]>, scope: &Scope) -> Self {
        if scope.as_bytes().is_empty() {
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
