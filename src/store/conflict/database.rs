//! Conflicts in the errors of the database driver.

use std::any::Any;
use std::error::Error;

use super::Conflict;
use crate::store::sql::tx::TxError;

/// The error of a database, if this is one.
pub(super) fn as_error(any: &dyn Any) -> Option<&(dyn Error + 'static)> {
    match any.downcast_ref::<TxError>() {
        Some(error) => Some(error),
        None => any.downcast_ref::<sqlx::Error>().map(|error| error as _),
    }
}

pub(super) fn is_conflict(error: &(dyn Error + 'static)) -> bool {
    let of_handler = error.downcast_ref().map(TxError::get_ref);
    of_handler.or_else(|| error.downcast_ref()).and_then(Conflict::of).is_some()
}
