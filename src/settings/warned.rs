//! Which warnings were logged, so that each is logged once for all clones of a layer.

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use http::Method;

/// One flag for each warning.
#[derive(Debug, Default)]
pub(crate) struct Warned {
    scope: AtomicBool,
    namespace: AtomicBool,
    /// A bit for each method.
    methods: AtomicU16,
}

impl Warned {
    /// Whether this is the first time that a layer without a scope is used.
    pub(crate) fn is_first_without_scope(&self) -> bool {
        !self.scope.swap(true, Ordering::Relaxed)
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
