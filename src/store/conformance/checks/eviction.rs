//! A store that is full rejects new keys. It does not forget old ones.

use std::panic::Location;

use crate::store::conformance::contender::{Contender, step};
use crate::store::conformance::failure::Checked;
use crate::store::conformance::together;
use crate::store::conformance::trial::Trial;
use crate::store::{Lease, Store};

/// How many keys are reserved. A store with a lower limit shows that it rejects the next one.
const KEYS: usize = 200;

/// Of 200 records all are still there after the last one was written. A store with a lower limit
/// may reject keys, as full, and must still have the records before.
pub(crate) async fn a_live_record_is_never_evicted<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let contenders: Vec<_> = (0..KEYS).map(|_| Contender::new(trial)).collect();
    let reserving: Vec<_> = contenders.iter().map(acquires).collect();
    let reserved = together::some_at_a_time(together::FEW, reserving).await;
    let reserved = reserved.into_iter().collect::<Checked<Vec<_>>>()?;
    let reserved: Vec<_> = reserved.into_iter().flatten().collect();

    let finding: Vec<_> =
        reserved.iter().map(|(contender, lease)| contender.finds_running(lease)).collect();
    together::some_at_a_time(together::FEW, finding).await.into_iter().collect()
}

/// `None` if the store is full.
async fn acquires<'c, 't, S: Store>(
    contender: &'c Contender<'t, S>,
) -> Checked<Option<(&'c Contender<'t, S>, Lease)>> {
    let step = step("reserve", format!("one of {KEYS} keys"), Location::caller());
    Ok(contender.acquires_unless_full(&step).await?.map(|lease| (contender, lease)))
}
