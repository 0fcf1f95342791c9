//! Which warnings were logged, so that each is logged once for all clones of a layer.

use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use http::Method;

use super::least::SwitchedOff;
use crate::record::key::Scope;
use crate::runtime::seldom::Seldom;

/// What a layer and its clones log once.
#[derive(Clone, Copy)]
pub(crate) enum Warning {
    NoScope,
    NoNamespace,
    /// The `scope` function found no caller.
    NoCaller,
    /// The scope is a credential of the request.
    ScopeIsCredential,
    /// A response that was compressed inside of the layer is not stored.
    Compressed,
    /// A response of unknown length is not stored.
    Streamed,
    /// The handler's response is a rejection by another layer of this crate.
    OtherRejection,
    /// The request has an attempt of another layer, under another key.
    OtherAttempt,
    /// The request has an attempt of an outer layer with other settings.
    OtherSettings,
    /// An anonymous caller sent a credential.
    AnonymousWithCredential,
    /// The handler did not take the transaction of its attempt.
    TransactionUnused,
    /// The 404 of a path without a route is stored.
    NoRoute,
    /// The caller of a request has gone before its response.
    CallerGone,
}

/// A bit for each warning that was logged.
#[derive(Debug, Default)]
pub(crate) struct Warned {
    warnings: AtomicU16,
    /// A bit for each method.
    methods: AtomicU16,
    /// A bit for each setting whose value switches a part of the layer off.
    switched_off: AtomicU16,
    /// How many anonymous callers came before the first that was not.
    anonymous: AtomicU32,
    /// How many requests were checked for faults that show in every request.
    early: AtomicU32,
    /// Limits the warning of a conflict that may be hidden in an error of the application.
    pub(crate) hidden_conflict: Seldom,
}

impl Warned {
    /// Whether this is the first time that the layer has this to say.
    pub(crate) fn is_first(&self, warning: Warning) -> bool {
        is_first(&self.warnings, 1 << warning as u16)
    }

    /// Whether this is one of the first [`ENOUGH`] requests. A fault that shows in every request
    /// is looked for in these only.
    pub(crate) fn is_early(&self) -> bool {
        self.early.load(Ordering::Relaxed) < ENOUGH
            && self.early.fetch_add(1, Ordering::Relaxed) < ENOUGH
    }

    /// Counts a caller. Returns `true` once: at the last of [`ENOUGH`] callers, if all of them are
    /// anonymous.
    pub(crate) fn has_met_only_anonymous(&self, scope: &Scope) -> bool {
        let met = self.anonymous.load(Ordering::Relaxed);
        if met >= ENOUGH {
            return false;
        }
        if !scope.is_anonymous() {
            self.anonymous.store(ENOUGH, Ordering::Relaxed);
            return false;
        }
        self.anonymous.fetch_add(1, Ordering::Relaxed) + 1 == ENOUGH
    }

    /// Whether this is the first request on this method that passed through unguarded.
    pub(crate) fn is_first_on(&self, method: &Method) -> bool {
        is_first(&self.methods, bit(method))
    }

    /// Whether this setting was not logged before.
    pub(crate) fn is_first_value(&self, setting: &SwitchedOff) -> bool {
        is_first(&self.switched_off, setting.bit)
    }
}

/// Sets the bit. A bit that is set costs no write.
fn is_first(bits: &AtomicU16, bit: u16) -> bool {
    bits.load(Ordering::Relaxed) & bit == 0 && bits.fetch_or(bit, Ordering::Relaxed) & bit == 0
}

/// How many requests or callers are looked at.
pub(crate) const ENOUGH: u32 = 100;

/// The methods of RFC 9110 and RFC 5789. All others share one bit, so that no client can make the
/// set grow.
const KNOWN: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::CONNECT,
    Method::OPTIONS,
    Method::TRACE,
    Method::PATCH,
];

fn bit(method: &Method) -> u16 {
    1 << KNOWN.iter().position(|known| known == method).unwrap_or(KNOWN.len())
}
