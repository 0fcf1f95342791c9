//! [`FingerprintRule`]: decides which requests are the same operation.

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "canonical")]
use super::CanonicalBody;
use super::{Fields, Fingerprint, Input};
use crate::record::digest::Framed;

/// Your own rule that decides which requests are the same operation.
///
/// The rule replaces the whole default, including the method and the path. So two versions of an
/// API can offer one operation under two paths. A closure with the same arguments is a rule: see
/// [`fingerprint_fn`](crate::IdempotencyLayer::fingerprint_fn).
///
/// If a rule panics, the request panics, and nothing is reserved.
///
/// ```
/// use tower_idempotency::fingerprint::{Fields, FingerprintRule, Input};
///
/// /// Ignores the first line of the body, which is a time stamp.
/// struct BelowFirstLine;
///
/// impl FingerprintRule for BelowFirstLine {
///     fn describe(&self, operation: &Input<'_>, fields: &mut Fields<'_>) -> bool {
///         let mut lines = operation.body().splitn(2, |byte| *byte == b'\n');
///         let Some(below) = lines.nth(1) else {
///             return false;
///         };
///         fields.add_target(operation).add_chosen_headers(operation).add(below);
///         true
///     }
/// }
/// ```
pub trait FingerprintRule: Send + Sync + 'static {
    /// Adds the fields of an operation, always in the same order. Returns `true` if the rule
    /// applies.
    ///
    /// If it returns `false`, the raw bytes of the request count, and the added fields are
    /// discarded.
    fn describe(&self, operation: &Input<'_>, fields: &mut Fields<'_>) -> bool;

    /// The version of the rule, 64 to 127. Default: 64.
    ///
    /// Change it when the rule changes. Fingerprints of two versions are never equal. A number
    /// outside of the range is stored as the nearest number in it, but is still a version of its
    /// own.
    fn version(&self) -> u8 {
        Fingerprint::OWN.0
    }
}

impl<F> FingerprintRule for F
where
    F: Fn(&Input<'_>, &mut Fields<'_>) -> bool + Send + Sync + 'static,
{
    fn describe(&self, operation: &Input<'_>, fields: &mut Fields<'_>) -> bool {
        self(operation, fields)
    }
}

/// The argument of [`fingerprint`](crate::IdempotencyLayer::fingerprint): any [`FingerprintRule`],
/// or a `CanonicalBody`.
#[derive(Clone)]
pub struct Rule(Kind);

#[derive(Clone)]
enum Kind {
    #[cfg(feature = "canonical")]
    Canonical(Arc<CanonicalBody>),
    Own(Arc<dyn FingerprintRule>),
}

impl<R: FingerprintRule> From<R> for Rule {
    fn from(rule: R) -> Self {
        Self(Kind::Own(Arc::new(rule)))
    }
}

#[cfg(feature = "canonical")]
impl From<CanonicalBody> for Rule {
    fn from(rule: CanonicalBody) -> Self {
        Self(Kind::Canonical(Arc::new(rule)))
    }
}

impl Rule {
    /// The fingerprint of an operation, if the rule applies to it.
    pub(super) fn fingerprint(
        &self,
        operation: &Input<'_>,
        chosen: &[http::HeaderName],
        secret: Option<&[u8; 32]>,
    ) -> Option<Fingerprint> {
        match &self.0 {
            #[cfg(feature = "canonical")]
            Kind::Canonical(rule) => {
                let mut fields = Fields::new(Framed::new("fingerprint of a body 1"), chosen);
                let version = rule.version_of(operation)?;
                let applies = rule.describe(operation, &mut fields);
                applies.then(|| Fingerprint::made(version, fields.finish(secret), secret))
            }
            Kind::Own(rule) => {
                let version = rule.version();
                let mut fields = Fields::new(Framed::new("fingerprint of a rule 1"), chosen);
                fields.add([version]);
                let (first, last) = Fingerprint::OWN;
                let applies = rule.describe(operation, &mut fields);
                applies.then(|| {
                    Fingerprint::made(version.clamp(first, last), fields.finish(secret), secret)
                })
            }
        }
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            #[cfg(feature = "canonical")]
            Kind::Canonical(rule) => rule.fmt(f),
            Kind::Own(rule) => write!(f, "FingerprintRule(v{})", rule.version()),
        }
    }
}
