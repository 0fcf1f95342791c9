//! What may say what one operation is: [`FingerprintRule`].

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "canonical")]
use super::CanonicalBody;
use super::{Fields, Fingerprint, Input};
use crate::record::digest::Framed;

/// A rule of the application's own for what one operation is.
///
/// It says everything, the method and the path too: two versions of an API may offer one operation
/// under two paths. A closure of the same arguments is a rule; see
/// [`fingerprint_fn`](crate::IdempotencyLayer::fingerprint_fn). A rule that panics lets the request
/// panic, with nothing reserved.
///
/// ```
/// use tower_idempotency::fingerprint::{Fields, FingerprintRule, Input};
///
/// /// The first line of the body is a time stamp.
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
    /// Adds the fields of an operation, always in the same order. `false`: the rule has nothing to
    /// say of such a request; its raw bytes count then, and whatever was added does not.
    fn describe(&self, operation: &Input<'_>, fields: &mut Fields<'_>) -> bool;

    /// A number that changes when the rule does, for the fingerprints of two versions never to be
    /// equal: 64 to 127; any other is stored as the nearest of these, though it stays a version of
    /// its own. Default: 64.
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

/// What [`fingerprint`](crate::IdempotencyLayer::fingerprint) takes: any [`FingerprintRule`], or a
/// `CanonicalBody`.
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
    /// The fingerprint of an operation, if the rule has something to say of it.
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
                let says = rule.describe(operation, &mut fields);
                says.then(|| Fingerprint::made(version, fields.finish(secret), secret))
            }
            Kind::Own(rule) => {
                let version = rule.version();
                let mut fields = Fields::new(Framed::new("fingerprint of a rule 1"), chosen);
                fields.add([version]);
                let (first, last) = Fingerprint::OWN;
                let says = rule.describe(operation, &mut fields);
                says.then(|| Fingerprint::made(version.clamp(first, last), fields.finish(secret), secret))
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
