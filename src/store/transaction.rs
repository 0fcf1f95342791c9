//! What a store in transaction mode holds open for an attempt, and lends to its handler.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::iter::successors;
use std::sync::{Arc, Weak};

#[cfg_attr(not(any(feature = "postgres", feature = "sqlite")), path = "transaction/off.rs")]
mod database;

/// The transaction that an attempt runs in, of whatever database. It is rolled back when the last of these is dropped
/// and nothing has ended it before.
///
/// A lease with one does not lapse: the attempt lives as long as its transaction, and its effects, its key and its
/// answer are committed together or not at all.
#[derive(Clone)]
pub struct OpenTransaction(Arc<dyn Any + Send + Sync>);

impl OpenTransaction {
    /// Holds what keeps the transaction open; the store finds it again by its type.
    pub fn new<T: Any + Send + Sync>(held: Arc<T>) -> Self {
        Self(held)
    }

    /// What was given to [`new`](Self::new), if it is of this type.
    pub fn held<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Arc::clone(&self.0).downcast().ok()
    }

    /// What a handler gets of it, which does not keep the transaction open once the attempt has ended.
    pub(crate) fn lent(&self) -> Lent {
        Lent(Arc::downgrade(&self.0))
    }
}

impl fmt::Debug for OpenTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenTransaction")
    }
}

/// A transaction that is somebody else's to end.
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

/// Another transaction was in the way of this one, and the same request may go through when it is
/// sent again.
///
/// It is put into the extensions of a response, or returned as an error. The layer then rolls back,
/// and the client gets 409 in flight with `Retry-After` in place of the response; or the handler is
/// called again, if the layer was [told to](crate::IdempotencyLayer::retry_conflicts). It means
/// nothing outside of transaction mode.
///
/// A handler or an operation that can do neither calls
/// [`Attempt::report_conflict`](crate::Attempt::report_conflict).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict;

impl Conflict {
    /// Whether an error is a conflict, or a boxed one that has a conflict among its sources.
    pub(crate) fn caused(error: &dyn Any) -> bool {
        let sources = successors(as_error(error), |&error| error.source());
        sources.into_iter().any(|error| error.is::<Self>() || database::is_conflict(error))
    }
}

/// The error as one that has sources, if its type is known here.
fn as_error(any: &dyn Any) -> Option<&(dyn Error + 'static)> {
    if let Some(boxed) = any.downcast_ref::<Box<dyn Error + Send + Sync>>() {
        return Some(&**boxed);
    }
    match any.downcast_ref::<Conflict>() {
        Some(conflict) => Some(conflict),
        None => database::as_error(any),
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another transaction was in the way")
    }
}

impl Error for Conflict {}
