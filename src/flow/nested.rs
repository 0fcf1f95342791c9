//! A layer inside another one.

use super::requested::Requested;
use super::shared::{Shared, within};
use crate::settings::Config;
use crate::settings::warned::Warning;
use crate::store::Store;

/// Whether an outer layer guards the operation already, in the same store. The operation is then
/// part of that attempt, and ends with it.
pub(super) async fn is_nested<St: Store>(
    shared: &Shared<St>,
    config: &Config,
    requested: &Requested,
) -> bool {
    let Some(outer) = &requested.outer else {
        return false;
    };
    if !outer.is_under(config) && config.warned.is_first(Warning::OtherSettings) {
        tracing::warn!(
            "a request is guarded by an outer idempotency layer with other settings: the settings \
             of the inner one do not count; remove one of them from the route"
        );
    }
    if outer.is_of_layer(&shared.id) {
        return true;
    }
    // Boxed, because few requests get here, and each would have room for it.
    let inspect = Box::pin(shared.store.inspect(&requested.reserve.key));
    matches!(within(config.store_timeout, inspect).await, Ok(Some(record)) if outer.is_of(&record))
}
