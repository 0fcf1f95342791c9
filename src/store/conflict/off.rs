//! Without the features `postgres` and `sqlite` no error is one of a database.

use std::any::Any;
use std::error::Error;

pub(super) fn as_error(_: &dyn Any) -> Option<&(dyn Error + 'static)> {
    None
}

pub(super) fn is_conflict(_: &(dyn Error + 'static)) -> bool {
    false
}
