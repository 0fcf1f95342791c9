//! A layer inside of another one.

use super::shared::{Shared, within};
use crate::flow::requested::Requested;
use crate::settings::Config;
use crate::store::Store;

/// Whether a layer outside guards the operation already, in the same store. It is then a part of that attempt, and ends
/// with it.
pub(super) async fn is_nested<St: Store>(
    shared: &Shared<St>,
    config: &Config,
    requested: &Requested,
) -> bool {
    let Some(outer) = &requested.outer else {
        return false;
    };
    if outer.is_of_layer(&shared.id) {
        return true;
    }
    let inspected = within(config.store_timeout, shared.store.inspect(&requested.reserve.key)).await;
    matches!(inspected, Ok(Some(record)) if outer.is_of(&record))
}
