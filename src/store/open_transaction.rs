//! The transaction that a store in transaction mode opens for an attempt, and lends to its handler.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Weak};

/// The transaction that an attempt runs in, of any database. It is rolled back when the last clone
/// is dropped, unless it has ended before.
///
/// A lease with one does not lapse: the attempt lives as long as its transaction. Its effects, its
/// key and its response are committed together or not at all.
#[derive(Clone)]
pub struct OpenTransaction(Arc<dyn Any + Send + Sync>);

impl OpenTransaction {
    /// Takes the value that keeps the transaction open. The store finds it again by its type.
    pub fn new<T: Any + Send + Sync>(held: Arc<T>) -> Self {
        Self(held)
    }

    /// The value that was given to [`new`](Self::new), if it is of this type.
    pub fn held<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Arc::clone(&self.0).downcast().ok()
    }

    /// The handle for a handler. It does not keep the transaction open when the attempt has ended.
    pub(crate) fn lent(&self) -> Lent {
        Lent(Arc::downgrade(&self.0))
    }
}

impl fmt::Debug for OpenTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenTransaction")
    }
}

/// A transaction that the store ends, and not the holder of this.
#[derive(Clone)]
pub(crate) struct Lent(Weak<dyn Any + Send + Sync>);

impl Lent {
    /// `None` if the attempt has ended.
    pub(crate) fn open(&self) -> Option<OpenTransaction> {
        self.0.upgrade().map(OpenTransaction)
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lent")
    }
}
