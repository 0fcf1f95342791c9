//! Which warnings were logged, so that each is logged once for all clones of a layer.

use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use http::Method;

use super::least::SwitchedOff;
use crate::record::key::Scope;

/// What a layer and its clones log once.
#[derive(Clone, Copy)]
pub(crate) enum Warning {
    NoScope,
    NoNamespace,
    /// The `scope` function found no caller.
    NoCaller,
    /// A request with a credential was looked at: the scope may be that credential.
    CredentialSeen,
    /// A conflict may be hidden in an error of the application.
    HiddenConflict,
    /// A response that was compressed inside of the layer is not stored.
    Compressed,
    /// A response of unknown length is not stored.
    Streamed,
    /// The handler's response is a rejection by another layer of this crate.
    OtherRejection,
    /// The request has an attempt of another layer, under another key.
    OtherAttempt,
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
}

impl Warned {
    /// Whether this is the first time that the layer has this to say.
    pub(crate) fn is_first(&self, warning: Warning) -> bool {
        is_first(&self.warnings, 1 << warning as u16)
    }

    /// Whether the layer has not said this yet, so that it is worth a look at the request.
    pub(crate) fn is_open(&self, warning: Warning) -> bool {
        self.warnings.load(Ordering::Relaxed) & (1 << warning as u16) == 0
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

/// After how many anonymous callers the layer logs a warning.
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
