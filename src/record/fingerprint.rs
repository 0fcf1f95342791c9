//! The [`Fingerprint`]: a digest that identifies the same request.
//!
//! By default it covers:
//!
//! - the method;
//! - the path and query that the client sent;
//! - the content type and the content encoding;
//! - the headers that [`fingerprint_headers`](crate::IdempotencyLayer::fingerprint_headers) adds;
//! - every byte of the body.
//!
//! A key that returns with another fingerprint was used for another operation. The layer rejects
//! that request.
//!
//! A [`FingerprintRule`] replaces the default. This crate has one rule, `CanonicalBody` (feature
//! `canonical`): it compares bodies by their content and not by their spelling.

use std::fmt;

use http::{HeaderMap, HeaderName, Method, header};

use super::digest::Framed;

#[cfg(feature = "canonical")]
mod canonical;
mod document;
mod fields;
mod operation;
mod pointer;
mod rule;
mod settings;

#[cfg(feature = "canonical")]
pub use canonical::CanonicalBody;
#[cfg(fuzzing)]
pub(crate) use canonical::{canonical, parse};
pub(crate) use document::{Document, Flaw, Value};
pub use fields::Fields;
pub use operation::Input;
pub use pointer::{InvalidPointer, JsonPointer};
pub use rule::{FingerprintRule, Rule};
pub(crate) use settings::{Fingerprinting, Fingerprints};

/// The most pieces of a body that are read: JSON values, form fields, and the pieces that multipart
/// parts count as. Pieces cost more than bytes.
pub(crate) const MOST_VALUES: usize = 10_000;

/// The digest of one request, and the version of the rule that made it.
///
/// Two fingerprints are equal only if both the version and the digest are equal. The comparison
/// takes the same time wherever the digests differ.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    version: u8,
    digest: blake3::Hash,
}

impl Fingerprint {
    /// The rule of [`of_request`](Self::of_request): raw bytes under BLAKE3.
    const RAW: u8 = 1;
    /// The rule of [`of_fields`](Self::of_fields): framed fields under BLAKE3.
    const FIELDS: u8 = 2;
    /// The rules of `CanonicalBody`, one for each type of body.
    #[cfg(feature = "canonical")]
    const JSON: u8 = 3;
    #[cfg(feature = "canonical")]
    const FORM: u8 = 4;
    #[cfg(feature = "canonical")]
    const MULTIPART: u8 = 5;
    /// The first and the last version for the application's own rules.
    const OWN: (u8, u8) = (64, 127);
    /// The flag in the version of a digest that depends on a secret.
    const KEYED: u8 = 0x80;

    /// The number of bytes that [`to_bytes`](Self::to_bytes) returns.
    pub const LEN: usize = 33;

    /// Digests one request by the default rule.
    ///
    /// Every field is preceded by its length, and every list by its count. So different requests
    /// never have the same digest input. A header is digested with its name.
    pub fn of_request(
        method: &Method,
        path_and_query: &str,
        headers: &HeaderMap,
        chosen: &[HeaderName],
        body: &[u8],
    ) -> Self {
        Self::raw(method, path_and_query, headers, chosen, body, None)
    }

    fn raw(
        method: &Method,
        path_and_query: &str,
        headers: &HeaderMap,
        chosen: &[HeaderName],
        body: &[u8],
        secret: Option<&[u8; 32]>,
    ) -> Self {
        let mut framed = Framed::new("fingerprint 1");
        framed.field(method.as_str().as_bytes());
        framed.field(path_and_query.as_bytes());
        for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING].iter().chain(chosen) {
            framed.field(name.as_str().as_bytes());
            framed.count(headers.get_all(name).iter().count());
            for value in headers.get_all(name) {
                framed.field(value.as_bytes());
            }
        }
        Self::made(Self::RAW, framed.finish_behind(body, secret), secret)
    }

    /// A fingerprint whose version says whether the digest is keyed.
    fn made(version: u8, digest: blake3::Hash, secret: Option<&[u8; 32]>) -> Self {
        Self { version: if secret.is_some() { version | Self::KEYED } else { version }, digest }
    }

    /// Digests the fields that identify an operation outside of HTTP.
    ///
    /// Every field is preceded by its length, so different lists never have the same digest input.
    ///
    /// ```
    /// use tower_idempotency::Fingerprint;
    ///
    /// let payout = Fingerprint::of_fields(["payout", "acct_2", "1200"]);
    /// assert_ne!(payout, Fingerprint::of_fields(["payout", "acct_21", "200"]));
    /// ```
    pub fn of_fields<T: AsRef<[u8]>>(fields: impl IntoIterator<Item = T>) -> Self {
        let mut framed = Framed::new("fingerprint of fields 1");
        for field in fields {
            framed.field(field.as_ref());
        }
        Self { version: Self::FIELDS, digest: framed.finish(None) }
    }

    /// Whether the fingerprint is a digest of raw bytes and not made by a rule.
    pub(crate) fn is_raw(self) -> bool {
        self.version & !Self::KEYED == Self::RAW
    }

    /// A placeholder that never equals this fingerprint. It represents an unknown other operation.
    #[cfg(feature = "postgres")]
    pub(crate) fn of_another(self) -> Self {
        Self { version: 0, ..self }
    }

    /// Reads a fingerprint that [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let [version, digest @ ..] = *bytes;
        Self { version, digest: blake3::Hash::from_bytes(digest) }
    }

    /// The version of the rule, followed by the digest.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [self.version; Self::LEN];
        bytes[1..].copy_from_slice(self.digest.as_bytes());
        bytes
    }
}

/// The version and the first 8 hexadecimal digits.
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint(v{} {}..)", self.version, &self.digest.to_hex()[..8])
    }
}

#[cfg(test)]
mod tests;
