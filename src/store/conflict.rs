//! The error that says that another transaction was in the way, so a retry may succeed.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::iter::successors;

#[cfg_attr(not(any(feature = "postgres", feature = "sqlite")), path = "conflict/off.rs")]
mod database;

/// Another transaction was in the way of this one, and the same request may go through when it is
/// sent again.
///
/// It is put into the extensions of a response, or returned as an error. The layer then rolls back,
/// and the client gets 409 in flight with `Retry-After` in place of the response; or the handler is
/// called again, if the layer was [told to](crate::IdempotencyLayer::retry_conflicts). It has no
/// effect outside of transaction mode.
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
