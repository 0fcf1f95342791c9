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

/// Whether an error is a [`Conflict`]: the result of
/// [`Conflict::among_sources`](Conflict::among_sources).
///
/// Put it into the response of the error also if it is not one. The layer then knows that the
/// response hides no conflict, and does not log that it may. With the feature `axum` it is a part
/// of a response. Elsewhere insert it into the extensions of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "put it into the response, because the layer finds it there"]
pub struct MaybeConflict {
    is_conflict: bool,
}

impl MaybeConflict {
    /// Whether the error is a conflict, or has one among its sources.
    pub fn is_conflict(self) -> bool {
        self.is_conflict
    }
}

impl Conflict {
    /// Looks for a conflict in an error and in its sources.
    ///
    /// With thiserror's `#[from] sqlx::Error` or `#[error(transparent)]`, the error of an
    /// application has its cause among its sources. Put the result into the response:
    ///
    /// ```
    /// use axum::http::StatusCode;
    /// use axum::response::{IntoResponse, Response};
    /// use tower_idempotency::store::Conflict;
    /// # #[derive(Debug)] enum AppError {}
    /// # impl std::fmt::Display for AppError {
    /// #     fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { Ok(()) }
    /// # }
    /// # impl std::error::Error for AppError {}
    ///
    /// impl IntoResponse for AppError {
    ///     fn into_response(self) -> Response {
    ///         (StatusCode::INTERNAL_SERVER_ERROR, Conflict::among_sources(&self), ()).into_response()
    ///     }
    /// }
    /// ```
    pub fn among_sources(error: &(dyn Error + 'static)) -> MaybeConflict {
        let mut sources = successors(Some(error), |&error| error.source());
        let is_conflict = sources.any(|error| error.is::<Self>() || database::is_conflict(error));
        MaybeConflict { is_conflict }
    }

    /// Whether an error is a conflict, or a boxed one that has a conflict among its sources.
    pub(crate) fn caused(error: &dyn Any) -> bool {
        as_error(error).is_some_and(|error| Self::among_sources(error).is_conflict)
    }

    /// Whether [`caused`](Self::caused) knows the type of an error.
    pub(crate) fn reads(error: &dyn Any) -> bool {
        as_error(error).is_some()
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
