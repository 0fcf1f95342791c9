//! The [`Scope`] that a key belongs to, and the [`ScopeDigest`] that stores see.

use std::fmt;

use crate::record::digest::Framed;
use crate::record::frame::Writer;
use crate::record::hex;

/// The caller that a key belongs to: a tenant, a principal or an account. The same key in two
/// scopes identifies two operations.
///
/// Only a digest of the scope reaches a store. `Debug` shows no part of it, because it is often a
/// credential.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    bytes: Vec<u8>,
    is_anonymous: bool,
}

impl Scope {
    /// Creates a scope. Each distinct value, also an empty one, is a scope of its own.
    pub fn new(principal: impl AsRef<[u8]>) -> Self {
        let mut bytes = vec![1];
        bytes.extend_from_slice(principal.as_ref());
        Self { bytes, is_anonymous: false }
    }

    /// The scope that all callers without an identity share.
    ///
    /// A caller that guesses the key of another can replay the other's response. Use this scope
    /// only for operations whose responses are not secret.
    pub fn anonymous() -> Self {
        Self { bytes: Vec::new(), is_anonymous: true }
    }

    /// Returns the scope of the same caller on one host, as a layer with
    /// [`host_in_scope`](crate::IdempotencyLayer::host_in_scope) computes it.
    ///
    /// Use it to [`inspect`](crate::IdempotencyLayer::inspect) a key. Pass the host as the client
    /// sends it, with the port if the client sends one. Case does not matter.
    #[must_use]
    pub fn on_host(self, host: &str) -> Self {
        self.on_hosts(&[host.to_ascii_lowercase().into_bytes()])
    }

    /// The same for all hosts that a request names. Different lists of hosts give different scopes.
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

    /// Whether this is [`Scope::anonymous`], on any host.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.is_anonymous
    }

    /// Whether this is the value of a header, what follows its scheme, or one of its cookies.
    pub(crate) fn is_credential(&self, value: &[u8]) -> bool {
        let Some(scope) = self.bytes.get(1..) else { return false };
        let mut cookies = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        scope == value
            || after(value, b' ') == Some(scope)
            || cookies.any(|cookie| scope == cookie || after(cookie, b'=') == Some(scope))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// What follows the first of this sign, without spaces around it.
fn after(bytes: &[u8], sign: u8) -> Option<&[u8]> {
    let at = bytes.iter().position(|byte| *byte == sign)?;
    bytes.get(at + 1..).map(<[u8]>::trim_ascii)
}

/// What a [`scope`](crate::IdempotencyLayer::scope) function may return.
///
/// The layer rejects a request without a scope with 401. [`Scope::anonymous`] is a scope, which an
/// application chooses on purpose.
pub trait IntoScope {
    /// The caller, or `None` if the request does not identify one.
    fn into_scope(self) -> Option<Scope>;
}

impl IntoScope for Scope {
    fn into_scope(self) -> Option<Scope> {
        Some(self)
    }
}

impl IntoScope for Option<Scope> {
    fn into_scope(self) -> Option<Scope> {
        self
    }
}

/// An error means that the request identifies no caller. The layer drops the error.
impl<E> IntoScope for Result<Scope, E> {
    fn into_scope(self) -> Option<Scope> {
        self.ok()
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scope(..)")
    }
}

/// Identifies a scope in a store without revealing it: the first 16 bytes of a digest.
///
/// A store that limits the share of one scope counts by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeDigest([u8; 16]);

impl ScopeDigest {
    /// The digest of [`Scope::anonymous`], whatever the host, because a caller without an identity
    /// may name any host.
    pub const ANONYMOUS: Self = Self([0; 16]);

    /// The digest for all requests of a layer without a [`scope`](crate::IdempotencyLayer::scope).
    /// The layer does not distinguish its callers, so limits of one scope do not apply to them.
    pub const UNSET: Self = Self([0xff; 16]);

    /// Digests a scope. With a secret the digest is keyed, so that a reader of the store cannot
    /// test guesses.
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

    /// A digest that a store has written.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the digest, as stores use them.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// All 32 hexadecimal digits, in lower case.
    pub fn to_hex(self) -> String {
        hex::text(&self.0)
    }

    /// The digest with these 32 hexadecimal digits. `None` for any other text.
    pub fn from_hex(digits: &str) -> Option<Self> {
        hex::read(digits).map(Self)
    }
}

/// The first 8 hexadecimal digits, which are too few to test guesses against.
impl fmt::Debug for ScopeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScopeDigest(")?;
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("..)")
    }
}
