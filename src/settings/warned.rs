//! Which warnings were logged, so that each is logged once for all clones of a layer.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};

use http::Method;

use crate::record::key::Scope;

/// One flag for each warning.
#[derive(Debug, Default)]
pub(crate) struct Warned {
    scope: AtomicBool,
    caller: AtomicBool,
    /// How many anonymous callers came before the first that was not.
    anonymous: AtomicU32,
    namespace: AtomicBool,
    /// A bit for each method.
    methods: AtomicU16,
}

impl Warned {
    /// Whether this is the first time that a layer without a scope is used.
    pub(crate) fn is_first_without_scope(&self) -> bool {
        !self.scope.swap(true, Ordering::Relaxed)
    }

    /// Whether this is the first request whose caller the `scope` function did not find.
    pub(crate) fn is_first_without_caller(&self) -> bool {
        !self.caller.swap(true, Ordering::Relaxed)
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

    /// Whether this is the first time that a layer without a namespace is used on a shared store.
    pub(crate) fn is_first_without_namespace(&self) -> bool {
        !self.namespace.swap(true, Ordering::Relaxed)
    }

    /// Whether a key on this method was logged before.
    pub(crate) fn has_method(&self, method: &Method) -> bool {
        self.methods.load(Ordering::Relaxed) & bit(method) != 0
    }

    /// Whether this is the first key on this method.
    pub(crate) fn is_first_with_method(&self, method: &Method) -> bool {
        self.methods.fetch_or(bit(method), Ordering::Relaxed) & bit(method) == 0
    }
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
